"""A WSGI application that shows what a server made of a request, run by the project's own server configuration."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs

from access_app.http.streams import DOZE, Doze

#: Responses that have begun, and have not ended.
DOZING: set[object] = set()
LARGE = b"0123456789abcdef" * 65_536  # 1 MiB


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    match environ["PATH_INFO"]:
        case "/unread":  # as an answer by the head alone: no key, no such page, too large
            return _answer(start_response, b"no", status="401 Unauthorized")
        case "/sleep":
            time.sleep(float(query["s"]))
        case "/large":
            return _answer(start_response, LARGE * int(query.get("n", "1")))
        case "/file":
            start_response("200 OK", [("Content-Length", str(len(LARGE)))])
            wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](BytesIO(LARGE))
            return wrapped
        case "/stream":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return _pieces(int(query["n"]), int(query.get("size", "0")))
        case "/doze":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return _dozing(environ[DOZE], float(query["s"]))
        case "/dozing":
            return _answer(start_response, str(len(DOZING)).encode())
        case "/fail":
            raise RuntimeError("as asked")
        case "/die":
            os.kill(os.getpid(), signal.SIGKILL)
    body = environ["wsgi.input"].read()
    shown = {name: value for name, value in environ.items() if isinstance(value, str)}
    return _answer(start_response, json.dumps({"environ": shown, "body": len(body), "pid": os.getpid()}).encode())


def _dozing(doze: Doze, seconds: float) -> Iterator[bytes]:
    """Has nothing to send until it is woken after so long."""
    end, me = time.monotonic() + seconds, object()
    timer = threading.Timer(seconds, doze.wake)
    timer.start()
    DOZING.add(me)
    try:
        yield b"begun\n"
        while time.monotonic() < end:
            yield b""
        yield b"end\n"
    finally:
        timer.cancel()
        DOZING.discard(me)


def _answer(start_response: Any, body: bytes, status: str = "200 OK") -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def _pieces(count: int, size: int) -> Iterator[bytes]:
    for number in range(count):
        yield f"{number}\n".encode().rjust(size)


if __name__ == "__main__":
    # NAME=VALUE… -- gunicorn's arguments: some bounds of scheduler_project.web made small, then all as in production.
    from importlib import import_module

    from gunicorn.app.wsgiapp import run

    end = sys.argv.index("--")
    for setting in sys.argv[1:end]:
        name, value = setting.split("=")
        module, _, attribute = name.rpartition(".")
        setattr(import_module(f"scheduler_project.web.{module}"), attribute, float(value))
    sys.argv[1:] = sys.argv[end + 1 :]
    run()
