"""Output over HTTP, three ways: pages of JSON, a stream of events, and a text to take along. One cursor for all.

A stream ends after `STREAM_SECONDS` at the latest, and its reader comes again with the place it has got to; also after
a restart of the web process, because nothing of it is kept here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest, HttpResponseBase

from access_app.http.openapi.schemas import Json, integer
from access_app.http.problems import Problem
from access_app.http.query import Parameter, Query, whole
from access_app.http.streams import EVENT_STREAM, Doze, accepts, doze_of, event, streamed
from access_app.http.times import show_instant
from tasks_app.following import FOLLOWING, MOST, Follower, Following, TooMany
from tasks_app.task_output import BEGINNING, MAX_ATTEMPT, Ask, Cursor, Page, Part, read_output

TEXT: Final = "text/plain"
#: Seconds a stream lasts, and between signs of life where nothing is written.
STREAM_SECONDS: Final = 600.0
BEAT_SECONDS: Final = 15.0
#: What a browser waits before it comes again, in milliseconds; what whoever is refused is asked to wait, in seconds.
COME_AGAIN_MS: Final = 500
REFUSED_SECONDS: Final = 5
LONGEST_TERM: Final = 200
#: Streams of a process whose server needs a thread for each.
MOST_IN_THREADS: Final = 2
_CURSOR_SCHEMA: Final[Json] = {"type": "string", "pattern": r"^\d+\.\d+$", "examples": ["1.4096"]}


def term(text: str) -> str:
    """A text of one line."""
    if not 0 < len(text) <= LONGEST_TERM or "\n" in text or "\0" in text:
        raise ValueError(f"must be a text of 1 to {LONGEST_TERM} characters without line breaks")
    return text


class OutputQuery(Query):
    """Which part of a task's output."""

    after = Parameter(
        Cursor.parse,
        _CURSOR_SCHEMA,
        "What comes behind this place: the `next` of a page, the id of an event. `Last-Event-ID` stands above it.",
        default=BEGINNING,
    )
    attempt = Parameter(whole(1, MAX_ATTEMPT), integer(1, MAX_ATTEMPT), "Of this attempt only.")
    search = Parameter(
        term,
        {"type": "string", "minLength": 1, "maxLength": LONGEST_TERM},
        "Pages of JSON only: the lines with this text, capital or small letters alike.",
    )


def respond(request: HttpRequest, task_id: UUID, asked: dict[str, Any]) -> HttpResponseBase | Json:
    """What the caller accepts: a stream, a text, or else a page of JSON. Raises `Problem`."""
    ask = Ask(task_id, asked["after"], asked["attempt"], asked["search"] or "")
    wanted = next((each for each in (EVENT_STREAM, TEXT) if accepts(request, each)), None)
    if wanted is None:
        return page_json(ask, read_output([ask])[0])
    if ask.term:
        raise Problem.invalid({"search": f"not with {wanted}: ask for JSON"})
    if wanted == TEXT:
        pieces = iter(()) if request.method == "HEAD" else text_of(ask)
        return streamed(pieces, TEXT, **text_headers(task_id, ask.attempt))
    return stream_of(request, ask)


# --- pages


def page_json(ask: Ask, page: Page) -> Json:
    content = _matches(ask, page) if ask.term else [part_json(part) for part in page.parts]
    cursor = page.next if page.next != BEGINNING else None
    return {
        "content": content,
        "next": None if cursor is None else str(cursor),
        "leftOutBytes": page.left_out,
        "ended": page.ended,
    }


def part_json(part: Part) -> Json:
    return {
        "attempt": part.attempt,
        "seq": part.seq,
        "at": show_instant(part.at),
        "stream": part.stream,
        "line": part.line,
        "leftOutBefore": part.left_out,
        "text": part.text,
    }


def _matches(ask: Ask, page: Page) -> list[Json]:
    """The lines that have the text, each as a part of its own at the place of the one it stands in."""
    found = []
    for part in page.parts:
        for number, line in enumerate(part.text.split("\n")):
            if ask.term in line or ask.term.lower() in line.lower():
                found.append(part_json(part._replace(line=part.line + number, text=line)))
    return found


# --- a text


def text_headers(task_id: UUID, attempt: int | None) -> dict[str, str]:
    """Of a file, named after the task and the attempt."""
    name = f"task-{task_id}.txt" if attempt is None else f"task-{task_id}-attempt-{attempt}.txt"
    return {"Content-Disposition": f'attachment; filename="{name}"', "Content-Type": f"{TEXT}; charset=utf-8"}


def text_of(ask: Ask) -> Iterator[bytes]:
    """All of it, with a line where something is left out, and where another attempt begins; page by page."""
    attempt = ask.attempt
    while True:
        page = read_output([ask])[0]
        for part in page.parts:
            if attempt is not None and part.attempt != attempt:
                yield f"\n[attempt {part.attempt}]\n".encode()
            attempt = part.attempt
            if part.left_out:
                yield f"\n[{part.left_out:,} bytes left out]\n".encode()
            yield part.text.encode(errors="replace")
        if not page.is_full:
            return
        ask = ask._replace(after=page.next)


# --- a stream


def stream_of(request: HttpRequest, ask: Ask) -> HttpResponseBase:
    """Events from where the reader has got to. Raises `Problem`."""
    if last := request.META.get("HTTP_LAST_EVENT_ID", ""):
        try:
            ask = ask._replace(after=Cursor.parse(last))
        except ValueError as error:
            raise Problem.invalid({"Last-Event-ID": str(error)}) from None
    if request.method == "HEAD":
        return streamed(iter(()), EVENT_STREAM)
    doze = doze_of(request)
    try:
        return streamed(Events(ask, doze, most=MOST if doze else MOST_IN_THREADS), EVENT_STREAM)
    except TooMany:
        text = "Too many follow tasks from here at once. Try again, or ask for pages of JSON."
        raise Problem(503, "unavailable", text, headers={"Retry-After": str(REFUSED_SECONDS)}) from None


class Events:
    """The events of one stream. Without a ``doze`` each waits for the next in the thread that asks for it."""

    def __init__(self, ask: Ask, doze: Doze | None, *, most: int, following: Following = FOLLOWING) -> None:
        self._doze = doze
        self._following = following
        self._follower = Follower(ask, doze.wake if doze else lambda: None)
        self._until = time.monotonic() + STREAM_SECONDS
        self._said_at = time.monotonic()
        self._is_over = False
        self._begun = False
        following.join(self._follower, most=most)

    def __iter__(self) -> Events:
        return self

    def __next__(self) -> bytes:
        if not self._begun:
            self._begun = True
            return f"retry: {COME_AGAIN_MS}\n\n".encode()
        now = time.monotonic()
        if self._is_over or now >= self._until:
            self.close()
            raise StopIteration
        page = self._follower.take(0.0 if self._doze else BEAT_SECONDS)
        if page is not None:
            self._said_at = now
            return self._told(page)
        if self._doze and now - self._said_at < BEAT_SECONDS:
            return b""
        self._said_at = now
        return b": nothing new\n\n"

    def close(self) -> None:
        self._following.leave(self._follower)

    def _told(self, page: Page) -> bytes:
        events = []
        for part in page.parts:
            if part.left_out:
                start = Cursor(part.attempt, part.seq - part.size)
                left_out = {"attempt": part.attempt, "bytes": part.left_out}
                events.append(event("left-out", left_out, at=str(start)))
            events.append(event("output", part_json(part), at=str(part.cursor)))
        if page.ended:
            self._is_over = True
            events.append(event("ended", {"status": page.status}, at=str(page.next)))
        elif page.is_full:
            self._following.go_on()
        return b"".join(events)
