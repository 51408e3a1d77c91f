"""What `access_app` documents of the API: the audit trail."""

from __future__ import annotations

from typing import Final

from access_app.api.audit_filters import AuditFilters
from access_app.http.openapi.chapters import Chapter
from access_app.http.openapi.lists import page_of, pages, parameters_of, sort_set
from access_app.http.openapi.operations import operation, response
from access_app.http.openapi.schemas import INSTANT, Json, nullable, open_obj
from access_app.rights import Action

_TEXT: Final[Json] = {"type": "string"}
_EVENT: Final[Json] = {
    "id": {"type": "integer"},
    "at": INSTANT,
    "actor": _TEXT | {"description": "The name of a key, `user:NAME`, or a part of the system."},
    "action": _TEXT,
    "targetType": _TEXT,
    "targetId": _TEXT,
    "attempt": nullable("integer"),
    "from": nullable("string", description="The status before, of a task."),
    "to": nullable("string", description="The status after."),
    "reason": _TEXT,
    "correlationId": _TEXT,
    "detail": {"description": "What else is to be known of it; credentials are hidden."},
}
_EXAMPLE: Final[Json] = {
    "content": [
        {
            "id": 41,
            "at": "2030-01-31T12:00:00.000000Z",
            "actor": "user:maria",
            "action": "queue.paused",
            "targetType": "queue",
            "targetId": "mails",
            "attempt": None,
            "from": None,
            "to": None,
            "reason": "provider is down",
            "correlationId": "7f2d",
            "detail": None,
        }
    ],
    "next": None,
    "previous": None,
}
_SCHEMAS: Final[Json] = {
    "AuditEvent": open_obj(_EVENT, required=list(_EVENT)),
    **pages("AuditEvent"),
    "AuditSort": sort_set(AuditFilters),
}
_PATHS: Final[Json] = {
    "/audit": {
        "get": operation(
            "audit",
            "listAuditEvents",
            "Who did what to what",
            {
                200: response(
                    "A page of events.",
                    page_of("AuditEvent"),
                    example=_EXAMPLE,
                )
            },
            action=Action.AUDIT_READ,
            description=(
                "Newest first. Ordinary ends of attempts are no events: `GET /tasks/{task_id}/events` has the whole "
                "life of one task."
            ),
            parameters=parameters_of(AuditFilters),
        )
    },
}


def chapter() -> Chapter:
    return Chapter(_PATHS, _SCHEMAS, {"audit": "What people did, and the system out of the ordinary."})
