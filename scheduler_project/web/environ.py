"""From a request as gunicorn's asyncio worker describes it (ASGI 2.4) to what WSGI applications read (PEP 3333)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import IO, Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

#: Fields that say how a body was sent. What stands behind them is settled before the application runs.
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


def environ_of(
    scope: Mapping[str, Any], body: IO[bytes], *, length: int | None, chunked: bool = False
) -> dict[str, Any]:
    """The WSGI environment. ``length`` is that of the body, None without one; ``chunked``: it has no known length.

    Nothing a client sends can become anything but ``HTTP_…``, ``CONTENT_TYPE``, path, query and method: names with an
    underscore, which would look like another field, are left out.
    """
    path, authority = _target(scope["raw_path"])
    made: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    made |= _places(scope) | _fields(scope["headers"])
    if authority:  # RFC 9112, 3.2.2: the target's authority stands above the Host field
        made["HTTP_HOST"] = authority
    if chunked:
        made["HTTP_TRANSFER_ENCODING"] = "chunked"
    elif length is not None:
        made["CONTENT_LENGTH"] = str(length)
    return made


def _target(target: bytes) -> tuple[bytes, str]:
    """Path and authority of a request target: usually a path, but a whole URL is as good (RFC 9112, 3.2)."""
    if target.startswith(b"/") or b"://" not in target:
        return target, ""
    try:
        url = urlsplit(target)
    except ValueError:  # brackets that hold no address
        return b"/", ""
    return url.path or b"/", url.netloc.decode("latin-1")


def _places(scope: Mapping[str, Any]) -> dict[str, str]:
    (server, port), (client, client_port) = scope["server"] or ("", 0), scope["client"] or ("", 0)
    return {
        "SERVER_NAME": server,
        "SERVER_PORT": str(port),
        "REMOTE_ADDR": client,
        "REMOTE_PORT": str(client_port),
    }


def _fields(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in headers:
        if name in _FRAMING or b"_" in name:
            continue
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
        text = value.decode("latin-1")
        if key in fields:  # RFC 9110, 5.3; cookies are joined as browsers join them (RFC 6265, 5.4)
            text = f"{fields[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{text}"
        fields[key] = text
    return fields
