"""The part of a scheduler's round that tells of ends: deliveries are made in the transaction that clears the mark.

So none is lost and none is made twice, whatever dies when. A delivery is an HTTP task with a row beside it, and is
itself marked: how it ended says whether its endpoint is to be called further (`heed`), and is told to nobody. Endpoints
that are ordered have their deliveries wait for each other, as tasks do that depend on others.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import psycopg
import structlog

from access_app.sql import Copying, Cursor, now_of, statement
from tasks_app.sessions import Session
from workflows_app.callbacks.delivering import deliver
from workflows_app.callbacks.endings import Ended, consequences
from workflows_app.callbacks.events import End, Receiver, messages

#: Most deliveries of one round: its transaction stays short.
MOST: Final = 1000
#: Seconds until an end is tried again that could not be told, by a defect of ours; and most that are told one by one.
FAILED_AGAIN: Final = 60.0
MOST_ALONE: Final = 100
#: The round of one that is frozen in it must not be the last: nobody else can make one meanwhile.
_UNLESS_FROZEN: Final = "SET LOCAL idle_in_transaction_session_timeout = '2s'"
_RECEIVERS: Final = (
    "SELECT id, name, url, events, queues, include, ordered FROM webhook_endpoints WHERE disabled IS NULL ORDER BY id"
)
#: Nobody, while another round has something: two at once would tell an ordered endpoint as they are committed.
_UNTOLD: Final = (
    "SELECT id FROM tasks WHERE has_dependents AND finished_at IS NOT NULL AND notifies AND id <> ALL(%s::uuid[])"
    " AND (SELECT pg_try_advisory_xact_lock(4711, 1)) ORDER BY finished_at LIMIT %s"
)
_OWN: Final = (
    "SELECT d.id, d.endpoint_id, e.failing_since FROM deliveries d"
    " LEFT JOIN webhook_endpoints e ON e.id = d.endpoint_id WHERE d.id = ANY(%s)"
)

#: Index: executions_attempt. Of deliveries nobody is told.
_LATE: Final = (
    "SELECT t.id, t.type, t.queue, t.status, x.attempt, t.version, t.finished_at,"
    " coalesce(t.correlation_id, replace(t.id::text, '-', '')), t.callback::text, x.late->'error'->>'code',"
    " x.late->'result'->>'statusCode', (x.late->'result')::text, (x.late->>'at')::timestamptz, x.late->>'outcome'"
    " FROM unnest(%s::uuid[], %s::int[]) AS k(id, attempt)"
    " JOIN task_executions x ON x.task_id = k.id AND x.attempt = k.attempt AND x.late IS NOT NULL"
    " JOIN tasks t ON t.id = k.id WHERE NOT EXISTS (SELECT FROM deliveries d WHERE d.id = t.id)"
)

log = structlog.get_logger(__name__)


#: Ends that this process could not tell, and until when it leaves them out, by the monotonic clock.
_left_out: dict[UUID, float] = {}


def tell_endings(session: Session) -> int:
    """Tell of ends, in the transaction that the session has begun; return of how many. Raises `psycopg.Error`.

    What is wrong with one of them keeps neither tasks from running nor others from being told: it is logged, stays
    marked, and is left out for a while.
    """
    with session.connection.cursor() as cursor:
        cursor.execute(_UNLESS_FROZEN)
        try:
            with session.connection.transaction():
                return tell(cursor, but=_held_back())
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except Exception:
            log.exception("telling_failed")
        return _tell_one_by_one(session, cursor)


def _tell_one_by_one(session: Session, cursor: Copying) -> int:
    cursor.execute(_UNTOLD, [list(_held_back()), MOST_ALONE])
    told = 0
    for (task_id,) in cursor.fetchall():
        try:
            with session.connection.transaction():
                told += tell(cursor, only=[task_id])
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except Exception:
            log.exception("end_not_told", task_id=str(task_id))
            _left_out[task_id] = time.monotonic() + FAILED_AGAIN
    return told


def _held_back() -> Collection[UUID]:
    """The ends that are left out now."""
    now = time.monotonic()
    for task_id in [task_id for task_id, until in _left_out.items() if until <= now]:
        del _left_out[task_id]
    return _left_out.keys()


def tell_now(cursor: Copying, ids: Collection[UUID]) -> None:
    """Tell of the ends of tasks that the caller has locked, in its transaction."""
    while tell(cursor, only=ids):
        pass


def tell(cursor: Copying, *, only: Collection[UUID] | None = None, but: Collection[UUID] = ()) -> int:
    """Make the deliveries for ended tasks whose end is yet to be told; return for how many.

    ``only``: of these, whatever others do; else of all ``but`` these, one round at a time.
    """
    receivers = receivers_of(cursor)
    most = max(1, MOST // max(1, len(receivers)))
    ends = take_endings(cursor, most=most, only=only, but=but, results=any(each.include for each in receivers))
    if ends:
        own = {row.id: row for row in _own(cursor, [end.id for end in ends])}
        deliver(cursor, messages((end for end in ends if end.id not in own), receivers))
        heed(cursor, [own[end.id] for end in ends if end.id in own], {end.id: end for end in ends})
        cursor.execute("UPDATE tasks SET notifies = false WHERE id = ANY(%s)", [[end.id for end in ends]])
    return len(ends)


def tell_late(cursor: Copying, kept: Collection[tuple[UUID, int]]) -> int:
    """Tell of results that came too late, in the transaction that keeps them on their attempts; return of how many."""
    cursor.execute(_LATE, [list(column) for column in zip(*kept, strict=True)])
    found = [End(*row) for row in cursor.fetchall()]
    told = list(messages(found, receivers_of(cursor))) if found else []
    deliver(cursor, told)
    return len(told)


def receivers_of(cursor: Cursor) -> list[Receiver]:
    """The endpoints to which something is delivered."""
    cursor.execute(_RECEIVERS)
    found = cursor.fetchall()
    return [Receiver(pk, name, url, frozenset(events), *filters) for pk, name, url, events, *filters in found]


def take_endings(
    cursor: Cursor, *, most: int, only: Collection[UUID] | None, but: Collection[UUID], results: bool
) -> list[End]:
    """Lock ended tasks whose end is yet to be told."""
    asked = {"most": most, "only": only and list(only), "but": list(but), "results": results}
    cursor.execute(statement("take_endings"), asked)
    return [End(*row) for row in cursor.fetchall()]


def heed(cursor: Cursor, ended: Sequence[Ended], ends: Mapping[UUID, End]) -> None:
    """Note which endpoints answer, and disable those that are gone or have failed for too long."""
    if not ended:
        return
    heed_deliveries(cursor, list(_verdicts(ended, ends, now_of(cursor))))


def _verdicts(ended: Sequence[Ended], ends: Mapping[UUID, End], now: datetime) -> Iterator[tuple[Any, ...]]:
    for endpoint in {each.endpoint_id: each for each in ended if each.endpoint_id is not None}.values():
        own = [ends[each.id] for each in ended if each.endpoint_id == endpoint.endpoint_id]
        yield (endpoint.endpoint_id, *consequences(endpoint.failing_since, own, now))


def heed_deliveries(cursor: Cursor, verdicts: Sequence[tuple[Any, ...]]) -> None:
    """Write what follows for endpoints: since when each fails, and why it is disabled."""
    if verdicts:
        endpoints, failing_since, disabled = map(list, zip(*verdicts, strict=True))
        parameters = {"endpoints": endpoints, "failing_since": failing_since, "disabled": disabled}
        cursor.execute(statement("heed_deliveries"), parameters)


def _own(cursor: Cursor, ids: Iterable[UUID]) -> list[Ended]:
    """Those of the tasks that are deliveries themselves."""
    cursor.execute(_OWN, [list(ids)])
    return [Ended._make(row) for row in cursor.fetchall()]
