"""What the ends of deliveries mean for their endpoint. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from access_app.ids import created_at
from tasks_app.states import TaskStatus
from workflows_app.callbacks.events import GIVEN_UP_AFTER, Disabled, End

#: By this answer a receiver says that it wants nothing more.
_GONE: Final = "410"


class Ended(NamedTuple):
    """A delivery that has ended, its endpoint, and since when that fails."""

    id: UUID
    endpoint_id: UUID | None
    failing_since: datetime | None


def consequences(
    failing_since: datetime | None, ends: Iterable[End], now: datetime
) -> tuple[datetime | None, Disabled | None]:
    """Since when an endpoint fails, and why it is disabled, after its deliveries ended so, in this order.

    It fails from when the first one was made that did not arrive. What was cancelled says nothing.
    """
    for end in ends:
        if end.status == TaskStatus.SUCCESS:
            failing_since = None
        elif end.status == TaskStatus.FAILED:
            if end.status_code == _GONE:
                return failing_since, Disabled.GONE
            failing_since = failing_since or created_at(end.id)
    if failing_since is not None and now - failing_since >= GIVEN_UP_AFTER:
        return failing_since, Disabled.FAILING
    return failing_since, None
