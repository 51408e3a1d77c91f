"""Responses that go on: events as browsers read them (WHATWG HTML, "Server-sent events"), and how they hold no thread.

A server that can wake a response up puts `DOZE` into the environment of a request. There a piece of nothing (``b""``)
means: ask for the next one when somebody has called `Doze.wake`, or in `DOZE_AT_MOST` seconds. Other servers wait
in the thread that asks for the next piece, so that they can have few such responses at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, Protocol

from django.http import HttpRequest, StreamingHttpResponse

DOZE: Final = "task_scheduler.doze"
DOZE_AT_MOST: Final = 10.0
EVENT_STREAM: Final = "text/event-stream"


class Doze(Protocol):
    """What a server offers a response that has nothing to send now."""

    def wake(self) -> None:
        """Have the next piece asked for. From any thread, at any time."""


def doze_of(request: HttpRequest) -> Doze | None:
    doze: Doze | None = request.META.get(DOZE)
    return doze


def accepts(request: HttpRequest, media_type: str) -> bool:
    """Whether ``Accept`` names this type itself."""
    named = (each.partition(";")[0].strip().lower() for each in request.META.get("HTTP_ACCEPT", "").split(","))
    return media_type in named


def event(kind: str, data: Any, *, at: str = "") -> bytes:
    """One event; ``at`` is what a browser sends as Last-Event-ID when it comes again."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    place = f"id: {at}\n" if at else ""
    return f"{place}event: {kind}\ndata: {text}\n\n".encode(errors="replace")


def streamed(pieces: Iterator[bytes], media_type: str, **headers: str) -> StreamingHttpResponse:
    """A response of pieces, each sent as it comes: neither compressed nor held back by a proxy."""
    ours = {"Cache-Control": "no-store", "Content-Encoding": "identity", "X-Accel-Buffering": "no"}
    ours["Content-Type"] = f"{media_type}; charset=utf-8"
    return StreamingHttpResponse(pieces, headers=ours | headers)
