"""The log viewer of a task: its page, and what the script of that page reads, by the same cursor as the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from access_app.http.problems import MEDIA_TYPE, Problem
from access_app.http.query import refuse_unknown
from access_app.staff import display
from tasks_app.api.output import OutputQuery, respond, text_headers, text_of
from tasks_app.models import Task
from tasks_app.states import TaskStatus
from tasks_app.task_output import Ask, attempts_with_output

#: Attempts that can be chosen on the page, the latest ones.
MOST_ATTEMPTS: Final = 100
_MILLISECOND: Final = timedelta(milliseconds=1)


def viewer_of(task: Task) -> dict[str, Any]:
    """What the page says by itself; its lines are the script's matter."""
    attempts = sorted({*attempts_with_output(task.pk), *([task.attempt] if task.attempt else [])})
    return {
        "title": f"Output of {task.type}",
        "task": task,
        "badge": display.badge(task.status),
        "attempts": attempts[-MOST_ATTEMPTS:],
        "latest": attempts[-1] if attempts else 1,
        "is_running": task.status == TaskStatus.RUNNING,
        "after_ms": settings.SCHEDULER.output_after // _MILLISECOND,
        "is_kept": settings.SCHEDULER.output_stored > 0,
    }


def lines_of(request: HttpRequest, task: Task) -> HttpResponseBase:
    """Pages of JSON, or events, as the API has them."""
    try:
        refuse_unknown(request.GET, OutputQuery.base_fields)
        found = respond(request, task.pk, OutputQuery.read(request.GET))
    except Problem as problem:
        document = problem.document("")
        return JsonResponse(document, status=problem.status, headers=problem.headers, content_type=MEDIA_TYPE)
    return found if isinstance(found, HttpResponseBase) else JsonResponse(found)


def file_of(request: HttpRequest, task: Task) -> HttpResponse:
    """A text to take along, of one attempt: as much as is kept of one, and so no stream."""
    number = request.GET.get("attempt", "")
    attempt = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else task.attempt
    return HttpResponse(b"".join(text_of(Ask(task.pk, attempt=attempt))), headers=text_headers(task.pk, attempt))
