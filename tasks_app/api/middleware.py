"""What every request goes through before anything else looks at it: its correlation id, and characters no part of this
site can mean. The outermost middleware, so that every answer carries the id: errors, the admin and 404s too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from django.http import HttpRequest, HttpResponse

from tasks_app.api.fallbacks import bad_request
from tasks_app.ids import new_task_id
from tasks_app.new_tasks import CORRELATION_ID

HEADER: Final = "X-Correlation-ID"
_META: Final = "HTTP_X_CORRELATION_ID"


class RequestGateMiddleware:
    """Binds ``correlation_id`` for log lines, audit rows and new tasks, and leaves it where django-structlog looks."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        correlation_id = request.META.get(_META, "")
        if not CORRELATION_ID.fullmatch(correlation_id):
            correlation_id = new_task_id().hex  # in order of time: the index of ended tasks grows at its end
        request.META[_META] = correlation_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(correlation_id=correlation_id)
        response = bad_request(request) if _is_unreadable(request) else self.get_response(request)
        response[HEADER] = correlation_id
        return response


def _is_unreadable(request: HttpRequest) -> bool:
    """Whether a NUL hides where it would reach a query (PostgreSQL's text has none), or the length is not a number.

    Paths are left alone: an id with a NUL in it is one that does not exist.
    """
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit()):
        return True
    if "\\0" in request.META.get("HTTP_COOKIE", ""):  # a quoted cookie value spells NUL as \000
        return True
    return "%00" in request.META.get("QUERY_STRING", "") or "\0" in request.META.get("QUERY_STRING", "")
