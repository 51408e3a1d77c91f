"""What a person or a program may ask of freezes: begin one, thaw it, see them.

While a freeze is open nothing that it covers starts: the tasks of queues, of types, and those that call targets. What
runs goes on. Several may cover the same; the thaw of one leaves it to the others, and to a pause of its queue. Freezes
begin and end with the pass held, so that no pass that has not seen one can commit after it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import DateTimeField, F, Func
from django.db.models.functions import Coalesce, Least, Now

from access_app import audit
from access_app.idempotency import Idempotency, keep_with, take_idempotency_key
from access_app.ids import new_task_id
from access_app.refusals import InvalidInput
from access_app.sql import database_now, statement
from access_app.versions import Versions, require
from flow_app.buckets import rate_of
from flow_app.counting_in import hand_back_assigned, lock_frozen
from flow_app.models import Freeze, SchedulerPass
from flow_app.queues import thaw_queue
from flow_app.rates import new_bucket
from flow_app.rules import RESUME_RATE, read_changes
from flow_app.targets import named as host_named
from tasks_app import wakeups
from tasks_app.executors.registry import executors
from tasks_app.fields import QUEUE_NAME

_CLOCK: Final = Func(function="clock_timestamp", output_field=DateTimeField())
#: Most names of a kind in one freeze.
MOST_NAMES: Final = 100


class FreezeOver(ValueError):
    """It has ended: there is nothing to thaw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFreeze:
    """What somebody wants to freeze, why and until when. Raises `InvalidInput` for what cannot be."""

    queues: Collection[str] = ()
    targets: Collection[str] = ()
    types: Collection[str] = ()
    reason: str = ""
    until: datetime | None = None

    def __post_init__(self) -> None:
        problems = {}
        for kind, read in _NAMED.items():
            try:
                object.__setattr__(self, kind, _names(getattr(self, kind), read))
            except ValueError as error:
                problems[kind] = str(error)
        if not (problems or self.queues or self.targets or self.types):
            problems["queues"] = "name at least one queue, target or type"
        if problems:
            raise InvalidInput(problems)


def _queue(name: str) -> str:
    if not QUEUE_NAME.fullmatch(name):
        raise ValueError(f"{name[:100]!r} is no name of a queue")
    return name


def _target(name: str) -> str:
    if (host := host_named(name)) is None:
        raise ValueError(f"{name[:100]!r} is no host: name it as urls do, without scheme, port and path")
    return host


def _type(name: str) -> str:
    if name not in executors():
        raise ValueError(f"there is no type {name[:100]!r}: there are {', '.join(sorted(executors()))}")
    return name


_NAMED: Final = {"queues": _queue, "targets": _target, "types": _type}


def _names(names: Collection[str], read: Callable[[str], str]) -> list[str]:
    """Each once, in order."""
    if len(names) > MOST_NAMES:
        raise ValueError(f"must be {MOST_NAMES} at most")
    return sorted({read(name) for name in names})


def freeze(new: NewFreeze, *, actor: str, idempotency: Idempotency | None = None) -> tuple[Freeze, bool]:
    """Let nothing start that this covers, from the return on; return the freeze, and whether it is new.

    What is assigned is taken back. Of starts that are under way it waits for the end: they have begun before. Raises
    `IdempotencyConflict`.
    """
    pk = new_task_id()
    with transaction.atomic():
        if idempotency is not None:
            if replay := take_idempotency_key(actor, idempotency, [], {"id": str(pk)}):
                return Freeze.objects.get(pk=replay.response["id"]), False
            keep_with(actor, idempotency, pk)
        SchedulerPass.objects.select_for_update().get(name="assign")
        named = {kind: getattr(new, kind) for kind in _NAMED}
        row = Freeze.objects.create(pk=pk, **named, reason=new.reason, until=new.until, created_by=actor)
        freeze_queues(new.queues)
        lock_frozen()
        hand_back_assigned(frozen=True, actor=actor, reason="it was frozen")
        Freeze.objects.filter(pk=pk).update(created_at=_CLOCK)  # the starts it has waited for have begun before
        ends = {"until": new.until.isoformat()} if new.until else {}
        audit.record(actor, "freeze.opened", f"freeze:{pk}", reason=new.reason, detail=row.names | ends)
    return Freeze.objects.get(pk=pk), True


def thaw(
    pk: UUID, *, actor: str, reason: str = "", rate: Mapping[str, Any] | None = None, versions: Versions = None
) -> Freeze:
    """Let what it covers start again, unless something else holds it; once more: at this rate instead.

    ``rate``, ``{"limit", "periodSeconds"}``, is how fast what waited comes back: of each of its queues until all that
    are due now have started, as with a resume; and of its types and targets together. Raises `Freeze.DoesNotExist`,
    `FreezeOver`, `Stale`, and `InvalidInput` for what is no rate.
    """
    rated = read_changes({"resumeRate": rate}, [RESUME_RATE])
    with transaction.atomic():
        SchedulerPass.objects.select_for_update().get(name="assign")
        before = Freeze.objects.select_for_update().get(pk=pk)
        require(versions, before.version, "freeze")
        if before.ended_at is not None:
            raise FreezeOver(f"it has ended already: {before.thawed_by} has thawed it")
        bucket = rate_of(Freeze(**rated), "thaw")
        Freeze.objects.filter(pk=pk).update(
            **rated,
            thaw_full_at=new_bucket(bucket, database_now()).full_at if bucket else None,
            thawed_at=Coalesce("thawed_at", Least("until", Now())),
            ended_at=None if before.types or before.targets else Now(),
            thawed_by=actor,
            version=F("version") + 1,
        )
        freeze_queues(before.queues)
        if rate is not None and before.thawed_at is None:
            for name in before.queues:
                thaw_queue(name, rated, actor=actor)
        detail = None if rate is None else {"resumeRate": RESUME_RATE.shown(Freeze(**rated))}
        audit.record(actor, "freeze.thawed", f"freeze:{pk}", reason=reason, detail=detail)
        transaction.on_commit(wakeups.notify_schedulers)
    return Freeze.objects.get(pk=pk)


def freeze_queues(names: Collection[str]) -> None:
    """Let the rows of these queues say what the freezes that are open now mean for them. With the pass held."""
    with connection.cursor() as cursor:
        cursor.execute(statement("freeze_queues"), {"names": list(names)})
