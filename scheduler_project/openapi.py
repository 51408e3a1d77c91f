"""The OpenAPI 3.1 document of the whole REST API: the chapters that the apps write, joined.

Parameters of query strings are those of the forms that read them. The rest is written by hand with the limits of the
code in it, instead of being derived from serializers that do not exist: bodies are read by hand too. Tests hold it
true: every route and method is in it, every response the API tests see matches it, and so do its own examples.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from django.conf import settings

from access_app.api import openapi as access
from access_app.http.openapi.chapters import Chapter, merged
from access_app.http.openapi.components import SHARED, components
from access_app.http.openapi.operations import operation, response
from access_app.http.openapi.schemas import Json, open_obj, schema
from access_app.rights import Action
from flow_app.api import openapi as flow
from monitoring_app import openapi as monitoring
from schedules_app.api import openapi as schedules
from tasks_app.api import openapi as tasks
from workers_app.api import openapi as workers
from workflows_app.api import openapi as workflows

_DESCRIPTION = """\
Create tasks, follow them, change and cancel them; have them made by schedules.

* **Keys**: send `Authorization: Bearer ts_…`. Each operation names the scope it needs; without a valid key the status \
is 401, without the scope 403, before anything else is looked at. With a session of the admin, Django permissions count.
* **Responses** to changes leave out what the caller may not read: the payload, result and error of a task without \
`tasks:read`, the payload of a schedule's template without `schedules:read`.
* **Errors** are `application/problem+json` (RFC 9457). `errors` names each field that is wrong.
* **Correlation**: `X-Correlation-ID` is accepted (1 to 128 of `A-Z a-z 0-9 . _ -`, else replaced), echoed on every \
response, stored on the tasks a request creates, and written in every log line about them.
* **Times** are ISO 8601; a zone is required going in, UTC with `Z` comes out.
* **Strict**: unknown fields and query parameters are refused, not ignored. Every path also works with a trailing \
slash. Bodies are JSON in UTF-8, without duplicate names, and not compressed.
"""
_PATHS: Final[Json] = {
    "/schema": {
        "get": operation(
            "documentation",
            "getSchema",
            "This document",
            {
                200: response("OpenAPI 3.1.", schema("Document"))
                | {"content": {f"application/{kind}": {"schema": schema("Document")} for kind in ("json", "yaml")}}
            },
            description="JSON, or YAML when `Accept` names it.",
            action=Action.SCHEMA_READ,
        )
    },
    "/docs": {
        "get": operation(
            "documentation",
            "getDocs",
            "This document, to read and to try",
            {
                200: response("A page that needs no other site.", {"type": "string"}, media_type="text/html"),
                302: response("A browser without a session is sent to the login page.", None, headers=("Location",)),
            },
            action=Action.SCHEMA_READ,
        )
    },
}


def _own() -> Chapter:
    shown = open_obj({"openapi": {"type": "string"}}, required=["openapi"], description="This document.")
    return Chapter(_PATHS, {"Document": shown}, {"documentation": "This document."})


#: In the order in which `/docs` shows them.
CHAPTERS: Final = (
    *(tasks.chapter, schedules.chapter, workflows.chapter),
    *(flow.chapter, workers.chapter, monitoring.chapter, access.chapter, _own),
)


@cache
def document() -> Json:
    """The document as JSON types; built once per process."""
    whole = merged([SHARED, *(chapter() for chapter in CHAPTERS)])
    return {
        "openapi": "3.1.0",
        "info": {"title": "Task scheduler", "version": settings.VERSION, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"apiKey": []}, {"adminSession": []}],
        "tags": [{"name": name, "description": text} for name, text in whole.tags.items()],
        "paths": whole.paths,
        "webhooks": whole.webhooks,
        "components": components(whole),
    }
