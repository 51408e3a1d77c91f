"""Keys of a queue that are treated otherwise than its rules say: limit, weight, pause; and what a change does to tasks.

A key has a row only while somebody has set something for it. Everything here runs with the pass held, so no pass that
has not seen a change can commit after it.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import connection, transaction
from django.db.models import F, QuerySet

from access_app import audit
from access_app.http.fields import Fields, flag, or_null, read_fields
from access_app.refusals import InvalidInput, NotFound
from access_app.sql import statement
from access_app.versions import Versions, require
from flow_app.counting_in import hand_back_assigned
from flow_app.models import Queue, QueueKey, SchedulerPass
from flow_app.rules import MOST_PER_KEY, MOST_WEIGHT, within
from tasks_app import wakeups
from tasks_app.kinds import visible

#: How a key is written, as in ``concurrencyKey``.
KEY: Final = visible(200)
#: A key as nobody has set it.
USUAL: Final[dict[str, Any]] = {"max_concurrency": None, "weight": 1, "paused": False}
_FIELDS: Final[Fields] = {
    "maxConcurrency": ("max_concurrency", or_null(within(1, MOST_PER_KEY).read)),
    "weight": ("weight", within(1, MOST_WEIGHT).read),
    "paused": ("paused", flag),
}
#: Most pages of `release_idle_keys.sql` that the change of a queue's rule waits for; the housekeeper does the rest.
_PAGES: Final = 5


class KeyNotFound(NotFound):
    """Nobody has set anything for this key."""


def keys_of(queue: str) -> QuerySet[QueueKey]:
    """The keys of a queue that somebody has set something for, by name."""
    return QueueKey.objects.filter(queue=queue)


def key_of(queue: str, key: str) -> QueueKey:
    """Raises `KeyNotFound`."""
    if row := keys_of(queue).filter(key=key).first():
        return row
    raise KeyNotFound("Nobody has set anything for this key.")


def read_key(value: Any) -> dict[str, Any]:
    """The columns that a JSON object sets, those it leaves out as usual. Raises `InvalidInput`."""
    if type(value) is not dict:
        raise InvalidInput({"body": "must be an object"})
    problems: dict[str, str] = {}
    columns = read_fields(value, _FIELDS, problems)
    if problems:
        raise InvalidInput(problems)
    return USUAL | columns


def shown_key(columns: dict[str, Any]) -> dict[str, Any]:
    """The JSON object of its columns."""
    return {name: columns[column] for name, (column, _) in _FIELDS.items()}


def set_key(
    queue: str, key: str, value: Any, *, actor: str, reason: str = "", versions: Versions = None
) -> tuple[QueueKey, bool]:
    """Set how a key is treated, as the body of a PUT does; what it leaves out is as usual. Whether it is new comes too.

    Nothing that runs is stopped: a limit that is lowered, or a pause, takes back what is assigned but not started.
    Raises `Stale`, and `InvalidInput`, which names each field that cannot be.
    """
    columns = read_key(value)
    with transaction.atomic():
        before = _held(queue, key, versions)
        if before is not None and columns == columns_of(before):
            return before, False
        if before is None:
            QueueKey.objects.create(queue=queue, key=key, **columns)
        else:
            QueueKey.objects.filter(pk=before.pk).update(**columns, version=F("version") + 1)
        _changed("queue.key_set", queue, key, before, columns, actor, reason)
    return key_of(queue, key), before is None


def delete_key(queue: str, key: str, *, actor: str, reason: str = "", versions: Versions = None) -> None:
    """Let a key be as usual again. Raises `Stale` and `KeyNotFound`."""
    with transaction.atomic():
        before = _held(queue, key, versions)
        if before is None:
            raise KeyNotFound("Nobody has set anything for this key.")
        before.delete()
        _changed("queue.key_unset", queue, key, before, USUAL, actor, reason)


def follow_key_limit(before: Queue, after: Queue, actor: str) -> None:
    """What a change of ``perKey.maxConcurrency`` does, in its transaction: take back, or let the next ones be seen."""
    least, most = before.key_max_concurrency or 1, after.key_max_concurrency or 1
    if most < least:
        hand_back_assigned(queue=after.name, actor=actor, reason="its queue was limited to fewer tasks of a key")
    elif most > least:
        _release_keys(after.name)


def release_key(queue: str, key: str, most: int) -> None:
    """Let the next tasks of a key be seen, as many as this limit has room for; in the transaction that sets it."""
    with connection.cursor() as cursor:
        cursor.execute(statement("release_key"), {"queue": queue, "key": key, "most": most})


def columns_of(row: QueueKey) -> dict[str, Any]:
    """What is set for a key."""
    return {column: getattr(row, column) for column in USUAL}


def _held(queue: str, key: str, versions: Versions) -> QueueKey | None:
    """The row as it is while this transaction holds the pass."""
    SchedulerPass.objects.select_for_update().get(name="assign")
    row = keys_of(queue).filter(key=key).first()
    version = row.version if row else 0
    require(versions, version, "key")
    return row


def _changed(
    action: str, queue: str, key: str, before: QueueKey | None, after: dict[str, Any], actor: str, reason: str
) -> None:
    old = columns_of(before) if before else USUAL
    least, most = (_most(columns, _usual(queue, key)) for columns in (old, after))
    if most < least:
        told = "its concurrency key was limited" if most else "its concurrency key was paused"
        hand_back_assigned(queue=queue, key=key, actor=actor, reason=told)
    elif most > least:
        release_key(queue, key, most)
    was, becomes = shown_key(old), shown_key(after)
    detail = {name: {"from": was[name], "to": becomes[name]} for name in was if was[name] != becomes[name]}
    audit.record(actor, action, f"queue:{queue}", reason=reason, detail={"key": key, **detail})
    transaction.on_commit(wakeups.notify_schedulers)


def _usual(queue: str, key: str) -> int:
    """The limit of a key that has none of its own; a schedule's is about overlaps, whatever the queue allows."""
    if key.startswith("schedule:"):
        return 1
    return Queue.objects.filter(pk=queue).values_list("key_max_concurrency", flat=True).first() or 1


def _most(columns: dict[str, Any], usual: int) -> int:
    """How many tasks of a key may be assigned or running."""
    return 0 if columns["paused"] else columns["max_concurrency"] or usual


def _release_keys(queue: str) -> None:
    """Let the next tasks of a queue's keys be seen, of as many keys as a change may wait for."""
    after: tuple[str, str] = (queue, "")
    with connection.cursor() as cursor:
        for _ in range(_PAGES):
            cursor.execute(statement("release_idle_keys"), {"queue": after[0], "key": after[1], "limit": 1000})
            last = cursor.fetchone()
            if last is None or last[0] != queue:
                return
            after = last[:2]
