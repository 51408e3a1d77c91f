"""What every request goes through before anything else looks at it: its correlation id, and characters no part of this
site can mean. The outermost middleware, so that every response carries the id: errors, the admin and 404s too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from access_app.http.clients import client_address
from access_app.http.fallbacks import bad_request
from access_app.http.problems import Problem
from access_app.ids import new_task_id
from access_app.texts import CORRELATION_ID

HEADER: Final = "X-Correlation-ID"
_META: Final = "HTTP_X_CORRELATION_ID"
#: Reading quoted cookies is quadratic in Pythons older than 3.11.10 and 3.12.6 (CVE-2024-7592).
MAX_COOKIE: Final = 8 * 1024
#: A search of many words becomes a query of as many conditions.
MAX_QUERY: Final = 8 * 1024
#: Digits of a Content-Length: Python itself refuses to read thousands of them.
LONGEST_LENGTH: Final = 18


class RequestGateMiddleware:
    """Binds ``correlation_id`` for log lines, audit rows and new tasks, and leaves it where django-structlog looks;
    ``ip`` for log lines."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        correlation_id = request.META.get(_META, "")
        if not CORRELATION_ID.fullmatch(correlation_id):
            correlation_id = new_task_id().hex  # in order of time: the index of ended tasks grows at its end
        request.META[_META] = correlation_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(correlation_id=correlation_id, ip=client_address(request))
        refusal = _refusal(request)
        response = bad_request(request, refusal) if refusal else self.get_response(request)
        response[HEADER] = correlation_id
        return response


def _refusal(request: HttpRequest) -> Problem | None:
    """What is wrong with a request before anything of it is read.

    A form with a file is measured here: Django counts the size of fields, and puts files on the disk whatever theirs.
    """
    if text := _unreadable(request.META):
        return Problem(400, "bad-request", text)
    is_form = request.META.get("CONTENT_TYPE", "").strip().lower().startswith("multipart/")
    if is_form and int(request.META.get("CONTENT_LENGTH") or 0) > settings.MAX_BODY:
        return Problem(413, "body-too-large", f"A form must not be larger than {settings.MAX_BODY} bytes.")
    return None


def _unreadable(meta: Mapping[str, Any]) -> str | None:
    """Why a request can mean nothing here: a NUL that would reach a query (PostgreSQL's text has none), or a size.

    Paths are left alone: an id with a NUL in it is one that does not exist.
    """
    length = meta.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit() and len(length) <= LONGEST_LENGTH):
        return "Content-Length must be a number."
    cookie, query = meta.get("HTTP_COOKIE", ""), meta.get("QUERY_STRING", "")
    if len(cookie) > MAX_COOKIE:
        return f"The Cookie header must not be longer than {MAX_COOKIE} bytes."
    if len(query) > MAX_QUERY:
        return f"The query string must not be longer than {MAX_QUERY} bytes."
    if "\\0" in cookie:  # a quoted cookie value spells NUL as \000
        return "The Cookie header must not hold a NUL."
    if "%00" in query or "\0" in query:
        return "The query string must not hold a NUL."
    return None
