"""Which tasks endpoints listen to: this app's part of `tasks_app.notices`."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from access_app.sql import Copying, Cursor
from tasks_app import notices
from workflows_app.callbacks.events import QUEUE
from workflows_app.callbacks.tables import WebhookEndpoint
from workflows_app.callbacks.telling import tell_now

_HEARD: str = "SELECT queues FROM webhook_endpoints WHERE disabled IS NULL AND events <> '{}'"


class Endpoints:
    """The teller: it knows who listens, and to what."""

    def heard_queues(self, cursor: Cursor) -> Collection[str]:
        """The queues that endpoints filter by; and deliveries, whose ends say how their endpoints do."""
        cursor.execute(_HEARD)
        found = [queues for (queues,) in cursor.fetchall()]
        if any(queues is None for queues in found):
            return frozenset({notices.ALL})
        return frozenset({QUEUE, *(queue for queues in found for queue in queues)})

    def unknown_endpoints(self, names: Collection[str]) -> Collection[str]:
        return set(names) - set(WebhookEndpoint.objects.filter(name__in=names).values_list("name", flat=True))

    def tell_now(self, cursor: Copying, ids: Collection[UUID]) -> None:
        tell_now(cursor, ids)
