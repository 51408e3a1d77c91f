"""Which tasks endpoints listen to: this app's part of `tasks_app.notices`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

from access_app.sql import Copying, Cursor
from tasks_app import notices
from workflows_app.callbacks.events import QUEUE
from workflows_app.callbacks.tables import WebhookEndpoint
from workflows_app.callbacks.telling import tell_now

#: Of endpoints that listen to more than tasks that name them, whose tasks; and the callbacks of queues.
_HEARD: Final = (
    "SELECT queues, NULL, NULL FROM webhook_endpoints"
    " WHERE disabled IS NULL AND NOT events <@ '{task.late_result}'"  # of which tasks are told without a mark
    " UNION ALL SELECT NULL, name, callback::text FROM queues WHERE callback IS NOT NULL"
)


class Endpoints:
    """The teller: it knows who listens, and to what."""

    def listening(self, cursor: Cursor) -> notices.Listening:
        """The queues that endpoints filter by; and deliveries, whose ends say how their endpoints do."""
        cursor.execute(_HEARD)
        rows = cursor.fetchall()
        defaults = {name: callback for _, name, callback in rows if name is not None}
        heard = [queues for queues, name, _ in rows if name is None]
        if any(queues is None for queues in heard):
            return notices.Listening(frozenset({notices.ALL}), defaults)
        return notices.Listening(frozenset({QUEUE, *(queue for queues in heard for queue in queues)}), defaults)

    def unknown_endpoints(self, names: Collection[str]) -> Collection[str]:
        return set(names) - set(WebhookEndpoint.objects.filter(name__in=names).values_list("name", flat=True))

    def tell_now(self, cursor: Copying, ids: Collection[UUID]) -> None:
        tell_now(cursor, ids)
