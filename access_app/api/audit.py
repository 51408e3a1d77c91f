"""The resource ``/audit``: who did what to what, newest first.

Credentials in what people wrote, in URLs say, are hidden here as on the pages of the admin: whoever may read the trail
need not know them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from access_app.api.audit_filters import AuditFilters
from access_app.http.pagination import Shelf
from access_app.http.times import show_instant
from access_app.http.viewsets import ApiViewSet
from access_app.masking import MASK, mask_urls, masked
from access_app.models import AuditEvent
from access_app.rights import Action


class Audit(ApiViewSet):
    noun = "audit event"
    actions = {"list": Action.AUDIT_READ}
    parameters = {"list": AuditFilters}

    def list(self, request: Request) -> Response:
        return self.page(AuditFilters(request.GET, AuditEvent.objects.all()), Shelf(event_items))


def event_items(rows: Sequence[AuditEvent]) -> list[dict[str, Any]]:
    return [event_json(row) for row in rows]


def event_json(event: AuditEvent) -> dict[str, Any]:
    kind, _, name = event.target.partition(":")
    return {
        "id": event.pk,
        "at": show_instant(event.at),
        "actor": event.actor,
        "action": event.action,
        "targetType": kind,
        "targetId": mask_urls(name, MASK),
        "attempt": event.attempt,
        "from": event.from_status,
        "to": event.to_status,
        "reason": mask_urls(event.reason, MASK),
        "correlationId": event.correlation_id,
        "detail": masked(event.detail, MASK),
    }
