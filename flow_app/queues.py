"""What a person or a program may ask of a queue: list it, pause it, resume it, give it rules; and what is in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from access_app import audit
from access_app.masking import MASK, masked
from access_app.versions import Versions, require
from flow_app.buckets import fit_bucket, rate_of
from flow_app.counting_in import hand_back_assigned, stamp_limited
from flow_app.key_buckets import follow_key_rate
from flow_app.models import Queue, SchedulerPass
from flow_app.queue_keys import follow_key_limit
from flow_app.rules import RESUME_RATE, RULES, read_changes
from tasks_app import wakeups
from tasks_app.bounds import unbounded
from tasks_app.notices import check_endpoints, forget

#: Counting stops here: a page must not walk through a backlog of millions.
MOST_COUNTED = 10_000

# What waits and what is owned, by queue, each count bounded. Indexes: tasks_due, tasks_labelled, tasks_suspects,
# tasks_key_waiting, tasks_gated and tasks_owned, whose predicates are written out. Not the ORM: it has no lateral join.
_COUNTS = """
SELECT q.name,
       (SELECT count(*) FROM (SELECT FROM tasks t
         WHERE t.queue = q.name AND t.worker_id IS NULL AND t.finished_at IS NULL
           AND t.gate = 0 AND t.crash_count = 0 AND t.needs_id IS NULL LIMIT %(limit)s) AS due)
     + (SELECT count(*) FROM (SELECT FROM tasks t
         WHERE t.queue = q.name AND t.worker_id IS NULL AND t.finished_at IS NULL
           AND t.concurrency_key IS NOT NULL AND t.gate = 1 LIMIT %(limit)s) AS parked)
     + (SELECT count(*) FROM (SELECT FROM tasks t
         WHERE t.queue = q.name AND t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate > 1
         LIMIT %(limit)s) AS gated)
     + coalesce(suspects.n, 0) + coalesce(labelled.n, 0) AS waiting,
       coalesce(owned.n, 0) AS owned
  FROM unnest(%(names)s::text[]) AS q(name)
  LEFT JOIN (SELECT queue, count(*) AS n FROM tasks WHERE worker_id IS NULL AND finished_at IS NULL
                AND gate = 0 AND crash_count > 0 GROUP BY queue) AS suspects ON suspects.queue = q.name
  LEFT JOIN (SELECT queue, count(*) AS n
               FROM (SELECT queue FROM tasks WHERE needs_id IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL
                        AND gate = 0 AND crash_count = 0 LIMIT %(limit)s) AS first
              GROUP BY queue) AS labelled ON labelled.queue = q.name
  LEFT JOIN (SELECT queue, count(*) AS n FROM tasks WHERE worker_id IS NOT NULL AND finished_at IS NULL
              GROUP BY queue) AS owned ON owned.queue = q.name
"""


def counts(names: list[str]) -> dict[str, tuple[int, int]]:
    """How many tasks wait (bounded) and are assigned or running, by queue."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, {"names": names, "limit": MOST_COUNTED})
        return {name: (min(waiting, MOST_COUNTED), owned) for name, waiting, owned in cursor.fetchall()}


def paused(*, most: int) -> list[Queue]:
    """Queues that are paused now, by name."""
    return list(Queue.objects.paused()[:most])


def pause_of(name: str) -> Queue | None:
    """The queue, when it is paused now."""
    return Queue.objects.paused().filter(pk=name).first()


def listed() -> QuerySet[Queue]:
    """Queues that somebody has paused or configured, by name."""
    return Queue.objects.all()


def add_queue(name: str, *, actor: str) -> Queue:
    """List a queue without pausing it; one that is listed stays as it is."""
    with transaction.atomic():
        _, made = Queue.objects.get_or_create(name=name)
        if made:
            audit.record(actor, "queue.created", f"queue:{name}")
    return Queue.objects.get(name=name)


def queue_of(name: str) -> Queue:
    """The queue. One that nobody has paused or configured exists as well, as it would be: at version 0."""
    return Queue.objects.filter(pk=name).first() or Queue.unset(name)


def edit_queue(
    name: str, changes: Mapping[str, Any], *, actor: str, reason: str = "", versions: Versions = None
) -> Queue:
    """Set rules of a queue, as the body of a PATCH does: ``{"maxConcurrency": 4}``; null ends one.

    They hold from the next assignment on. Nothing that runs is stopped. Raises `Stale`, and `InvalidInput` (a
    ValueError), which names each rule that cannot be.
    """
    columns = read_changes(changes)
    if not columns:
        return queue_of(name)
    with transaction.atomic():
        # Holding the pass: none that has not seen the rules can commit after what is owned was counted in.
        SchedulerPass.objects.select_for_update().get(name="assign")
        before = queue_of(name)
        require(versions, before.version, "queue")
        after = _with(before, columns)
        changed = [rule for rule in RULES if rule.shown(before) != rule.shown(after)]
        if not changed:
            return before
        Queue.objects.get_or_create(name=name, defaults={"version": 0})
        Queue.objects.filter(name=name).update(**columns, version=F("version") + 1)
        for rule in changed:
            EFFECTS.get(rule.path, _nothing)(before, after, actor)
        detail = {rule.path: {"from": rule.shown(before), "to": rule.shown(after)} for rule in changed}
        audit.record(actor, "queue.edited", f"queue:{name}", reason=reason, detail=masked(detail, MASK))
        transaction.on_commit(wakeups.notify_schedulers)
    return Queue.objects.get(name=name)


def _with(queue: Queue, columns: Mapping[str, Any]) -> Queue:
    """The queue as it would be."""
    kept = {field.attname: getattr(queue, field.attname) for field in Queue._meta.concrete_fields}
    return Queue(**{**kept, **columns})


def _nothing(before: Queue, after: Queue, actor: str) -> None:
    """What most rules need: the next pass reads them."""


def _hold_to_limit(before: Queue, after: Queue, actor: str) -> None:
    """A limit that is new or lower counts what is assigned or running, and what has not started goes back."""
    most, least = after.max_concurrency, before.max_concurrency
    if most is not None and (least is None or most < least):
        hand_back_assigned(queue=after.name, actor=actor, reason="its queue was limited")
        stamp_limited(queue=after.name)


def _hold_to_rate(before: Queue, after: Queue, actor: str) -> None:
    """A rate counts what starts from now on: what has not started goes back, and is given anew with its tokens."""
    if after.rate_limit is not None:
        hand_back_assigned(queue=after.name, actor=actor, reason="its queue was given a rate")
    fit_bucket("queue", after.name, rate_of(before), rate_of(after))


def _begin_turns(before: Queue, after: Queue, actor: str) -> None:
    """Surveys ask for what waits for turns, until the last task is sorted out after it was shared."""
    if after.fair_by is not None:
        Queue.objects.filter(name=after.name).update(has_turns=True)


def _be_bounded(before: Queue, after: Queue, actor: str) -> None:
    """Who creates tasks in this process looks again; others within a second."""
    unbounded.forget(after.name)


def _be_told(before: Queue, after: Queue, actor: str) -> None:
    """As `_be_bounded`. Raises `InvalidTask` for an endpoint that there is not."""
    check_endpoints([after.callback])
    transaction.on_commit(forget)


#: What a change of a rule does to tasks, by the path of the rule: called with the queue before and after it, in the
#: transaction that has stored it, with the pass held.
EFFECTS: Final[dict[str, Callable[[Queue, Queue, str], None]]] = {
    "maxConcurrency": _hold_to_limit,
    "rateLimit": _hold_to_rate,
    "fairBy": _begin_turns,
    "perKey.maxConcurrency": follow_key_limit,
    "maxWaiting": _be_bounded,
    "perKey.maxWaiting": _be_bounded,
    "perKey.rateLimit": follow_key_rate,
    "callback": _be_told,
}


def pause_queue(name: str, *, actor: str, reason: str = "", until: datetime | None = None) -> Queue:
    """Stop assigning tasks of a queue, and take back what is assigned but not started. Running tasks go on."""
    with transaction.atomic():
        # Holding the pass: no assignment that has not seen the pause can commit after the tasks were taken back.
        SchedulerPass.objects.select_for_update().get(name="assign")
        Queue.objects.update_or_create(
            name=name,
            defaults={"paused_at": Now(), "paused_until": until, "pause_reason": reason, "paused_by": actor},
        )
        Queue.objects.filter(name=name).update(version=F("version") + 1)
        hand_back_assigned(queue=name, actor=actor, reason="its queue was paused")
        audit.record(actor, "queue.paused", f"queue:{name}", reason=reason)
    return Queue.objects.get(name=name)


def resume_queue(name: str, *, actor: str, reason: str = "", rate: Mapping[str, Any] | None = None) -> Queue:
    """Assign tasks of a queue again. Raises `Queue.DoesNotExist` for a queue nobody has paused or configured.

    ``rate``, ``{"limit", "periodSeconds"}``, is how fast its tasks start until all that are due now have started;
    without one, a rate of an earlier resume ends. Raises `InvalidInput` for what is no rate.
    """
    columns = read_changes({"resumeRate": rate}, [RESUME_RATE])
    with transaction.atomic():
        SchedulerPass.objects.select_for_update().get(name="assign")
        before, after = Queue.objects.select_for_update().get(name=name), Queue(name=name, **columns)
        if before.paused_at is None and rate is None and before.thaw_limit is None:
            return before
        Queue.objects.filter(name=name).update(
            paused_at=None, paused_until=None, pause_reason="", paused_by="", version=F("version") + 1
        )
        _thaw(before, columns, actor)
        detail = None if rate is None else {"resumeRate": RESUME_RATE.shown(after)}
        audit.record(actor, "queue.resumed", f"queue:{name}", reason=reason, detail=detail)
        transaction.on_commit(wakeups.notify_schedulers)
    return Queue.objects.get(name=name)


def thaw_queue(name: str, columns: Mapping[str, Any], *, actor: str) -> None:
    """Let the tasks of a queue start at the rate of a resume until all that are due now have started: a freeze of it
    ends.

    In the transaction that ends the freeze, with the pass held. What else holds the queue goes on holding it.
    """
    _thaw(Queue.objects.get(name=name), columns, actor)


def _thaw(before: Queue, columns: Mapping[str, Any], actor: str) -> None:
    """Set, change or end the rate of a resume, by its columns."""
    since = None if columns["thaw_limit"] is None else Now()
    Queue.objects.filter(name=before.name).update(**columns, thaw_since=since)
    if since is not None:
        hand_back_assigned(queue=before.name, actor=actor, reason="its queue is resumed at a rate")
    fit_bucket("thaw", before.name, rate_of(before, "thaw"), rate_of(Queue(name=before.name, **columns), "thaw"))
