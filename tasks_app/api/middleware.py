"""What every request goes through before anything else looks at it: its correlation id, and characters no part of this
site can mean. The outermost middleware, so that every answer carries the id: errors, the admin and 404s too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from django.http import HttpRequest, HttpResponse

from tasks_app.api.clients import client_address
from tasks_app.api.fallbacks import bad_request
from tasks_app.api.problems import Problem
from tasks_app.ids import new_task_id
from tasks_app.new_tasks import CORRELATION_ID

HEADER: Final = "X-Correlation-ID"
_META: Final = "HTTP_X_CORRELATION_ID"
#: Reading quoted cookies is quadratic in Pythons older than 3.11.10 and 3.12.6 (CVE-2024-7592).
MAX_COOKIE: Final = 8 * 1024
#: A search of many words becomes a query of as many conditions.
MAX_QUERY: Final = 8 * 1024


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
        response = bad_request(request, Problem(400, "bad-request", refusal)) if refusal else self.get_response(request)
        response[HEADER] = correlation_id
        return response


def _refusal(request: HttpRequest) -> str | None:
    """Why a request can mean nothing here: a NUL that would reach a query (PostgreSQL's text has none), or a size.

    Paths are left alone: an id with a NUL in it is one that does not exist.
    """
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit()):
        return "Content-Length must be a number."
    cookie, query = request.META.get("HTTP_COOKIE", ""), request.META.get("QUERY_STRING", "")
    if len(cookie) > MAX_COOKIE:
        return f"The Cookie header must not be longer than {MAX_COOKIE} bytes."
    if len(query) > MAX_QUERY:
        return f"The query string must not be longer than {MAX_QUERY} bytes."
    if "\\0" in cookie:  # a quoted cookie value spells NUL as \000
        return "The Cookie header must not hold a NUL."
    if "%00" in query or "\0" in query:
        return "The query string must not hold a NUL."
    return None
