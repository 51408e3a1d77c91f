"""The OpenAPI 3.1 document of the whole REST API.

Written by hand with the limits of the code in it, instead of being derived from serializers that do not exist: the
input is read by hand too. Tests hold it true: every route and method is in it, every answer the API tests see matches
it, and so do its own examples.
"""

from __future__ import annotations

from functools import cache

from django.conf import settings

from scheduler_project.openapi.components import COMPONENTS
from scheduler_project.openapi.operations import PATHS as OTHER_PATHS
from scheduler_project.openapi.parts import Json
from scheduler_project.openapi.schedules import PATHS as SCHEDULE_PATHS
from scheduler_project.openapi.tasks import PATHS as TASK_PATHS

_DESCRIPTION = """\
Create tasks, follow them, change and cancel them; have them made by schedules.

* **Keys**: send `Authorization: Bearer ts_…`. Each operation names the scope it needs; without a valid key the answer \
is 401, without the scope 403, before anything else is looked at. With a session of the admin, Django permissions count.
* **Answers** to changes leave out what the caller may not read: the payload, result and error of a task without \
`tasks:read`, the payload of a schedule's template without `schedules:read`.
* **Errors** are `application/problem+json` (RFC 9457). `errors` names each field that is wrong.
* **Correlation**: `X-Correlation-ID` is accepted (1 to 128 of `A-Z a-z 0-9 . _ -`, else replaced), echoed on every \
answer, stored on the tasks a request creates, and written in every log line about them.
* **Times** are ISO 8601; a zone is required going in, UTC with `Z` comes out.
* **Strict**: unknown fields and query parameters are refused, not ignored. Every path also answers with a trailing \
slash. Bodies are JSON in UTF-8, without duplicate names, and not compressed.
"""


@cache
def document() -> Json:
    """The document as JSON types; built once per process."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Task scheduler", "version": settings.VERSION, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"apiKey": []}, {"adminSession": []}],
        "tags": [
            {"name": "tasks", "description": "Create, read, change, cancel, retry."},
            {"name": "schedules", "description": "Make tasks again and again; see what will be, and what was."},
            {"name": "calendars", "description": "When schedules do not run."},
            {"name": "queues", "description": "Pause and resume. A queue needs no creation: naming it is enough."},
            {"name": "workers", "description": "Who runs the tasks."},
            {"name": "health", "description": "Is it running, and how well."},
            {"name": "documentation", "description": "This document."},
        ],
        "paths": TASK_PATHS | SCHEDULE_PATHS | OTHER_PATHS,
        "components": COMPONENTS,
    }
