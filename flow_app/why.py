"""Why a task is not running now: every reason, from one bounded read."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection

from access_app.sql import statement
from flow_app.ahead import kept_for
from flow_app.rates import Bucket, Rate
from tasks_app.labels import meets, nearest_miss
from tasks_app.models import Task
from tasks_app.reasons import Reason
from tasks_app.selectors import find_task
from tasks_app.states import Gate, TaskStatus


class Turn(NamedTuple):
    """The tenant of a task in a shared queue: what it holds, its weight among all weights, and what comes first."""

    held: int
    weight: int
    weights: int
    slots: int
    ahead: int


class EmptyRate(NamedTuple):
    """A rate without a token, with its bucket, and how many tasks were given to workers and have not started."""

    kind: str
    name: str
    limit: int
    period: int
    burst: int
    full_at: datetime
    unstarted: int
    now: datetime


#: Counting what comes first stops there.
MOST_AHEAD = 10_000

#: Different sets of labels that are looked at for the nearest miss.
MOST_WORKERS: Final = 1000
_LABELS_OF_WORKERS = """
SELECT labels::text, max(slots) FROM worker_heartbeats
 WHERE state = 'ACTIVE' AND (queues IS NULL OR %(queue)s = ANY(queues))
 GROUP BY labels
 LIMIT %(most)s"""


def why(task: Task) -> list[Reason]:
    """Every reason why a task is not running now; empty for one that runs or is about to."""
    if task.status == TaskStatus.RUNNING:
        return []
    if task.finished_at is not None:
        return [Reason("ENDED", f"it ended as {task.status}")]
    if task.status == TaskStatus.SCHEDULED:
        return [Reason("ASSIGNED", f"assigned to worker {task.worker_id}, which starts it when a slot is free")]
    facts = _why_waiting(task)
    if facts is not None and task.gate == Gate.TURN and (turn := _why_turn(task)) is not None:
        facts = facts | {"turn": turn, "ahead": 0}
    return [] if facts is None else _waiting_reasons(task, facts)


def _why_waiting(task: Task) -> dict[str, Any] | None:
    """What may hold a PENDING task back; None when it moved on meanwhile."""
    parameters: dict[str, Any] = {"id": task.pk, "silence": settings.SCHEDULER.heartbeat_timeout.total_seconds()}
    with connection.cursor() as cursor:
        cursor.execute(statement("why_waiting"), parameters)
        row = cursor.fetchone()
        return None if row is None else dict(zip([column.name for column in cursor.description], row, strict=True))


def _why_rates(task: Task) -> list[EmptyRate]:
    """The rates that it comes under and that have no token."""
    with connection.cursor() as cursor:
        cursor.execute(statement("why_rates"), {"id": task.pk})
        return [EmptyRate._make(row) for row in cursor.fetchall()]


def _why_turn(task: Task) -> Turn | None:
    """What is to be said of one that waits for the turn of its tenant."""
    with connection.cursor() as cursor:
        cursor.execute(statement("why_turn"), {"id": task.pk})
        row = cursor.fetchone()
        return None if row is None else Turn._make(row)


def _turn_reasons(task: Task, turn: Turn, *, room: bool) -> list[Reason]:
    """Its tenant has had its share, or others of its tenant come first."""
    reasons = []
    if not room and turn.held * turn.weights >= turn.slots * turn.weight:
        share = turn.slots * turn.weight / turn.weights
        named = f"{share:.1f}".removesuffix(".0")
        detail = f"tenants share queue {task.queue}: the share of {task.tenant or 'those without a fairKey'} is {named}"
        reasons.append(Reason("FAIR_SHARE", f"{detail} of {turn.slots} slots, and it holds {turn.held}"))
    if turn.ahead:
        more = "at least " if turn.ahead >= MOST_AHEAD else ""
        reasons.append(Reason("AHEAD_IN_QUEUE", f"{more}{turn.ahead} due tasks of its tenant come first"))
    return reasons


def _waiting_reasons(task: Task, facts: dict[str, Any]) -> list[Reason]:
    reasons = []
    queue = {"queue": f"/queues/{task.queue}"}
    if not facts["due"]:
        reasons.append(Reason("NOT_DUE", "its nextRunAt is in the future", task.run_at))
    if facts["paused"]:
        detail = f"queue {task.queue} is paused" + (f": {facts['pause_reason']}" if facts["pause_reason"] else "")
        reasons.append(Reason("QUEUE_PAUSED", detail, facts["paused_until"], queue))
    if facts["max_concurrency"] == 0:
        reasons.append(Reason("QUEUE_CLOSED", f"queue {task.queue} is closed: its maxConcurrency is 0", links=queue))
    elif facts["max_concurrency"] is not None and facts["limited"] >= facts["max_concurrency"]:
        detail = f"{facts['limited']} tasks of queue {task.queue} are assigned or running; its maxConcurrency is"
        reasons.append(Reason("QUEUE_LIMIT", f"{detail} {facts['max_concurrency']}", links=queue))
    reasons += [_rate_reason(task, each) for each in _why_rates(task)]
    reasons += _reasons_of_target(task, facts)
    if facts["expired"]:
        reasons.append(Reason("EXPIRED", "it has passed its expiresAt, and will end FAILED", task.expires_at))
    if task.concurrency_key is not None:
        reasons += _key_reasons(task.concurrency_key, facts)
    if not facts["scheduler_alive"]:
        reasons.append(Reason("NO_LIVE_SCHEDULER", "no scheduler is alive to assign it"))
    if not facts["serving_workers"]:
        reasons.append(Reason("NO_LIVE_WORKER", f"no live worker serves queue {task.queue}"))
    elif not facts["live_workers"]:
        reasons.append(_no_worker_that_meets(task))
    elif facts["most_free"] < task.slots:
        reasons.append(Reason("WORKERS_BUSY", _too_little_free(task, facts)))
    elif task.crash_count and not facts["free_for_suspect"]:
        detail = f"it has lost {task.crash_count} workers; a worker runs one such task at a time, and each runs one now"
        reasons.append(Reason("SUSPECT_LIMIT", detail))
    elif facts["any_costly"] and facts["due"]:
        reasons += _kept_reasons(task)
    if turn := facts.get("turn"):
        reasons += _turn_reasons(task, turn, room=bool(facts["free_slots"]))
    if facts["due"] and facts["ahead"]:
        reasons.append(_ahead_reason(task, facts))
    return reasons


def _ahead_reason(task: Task, facts: dict[str, Any]) -> Reason:
    """Others come first. ``until`` is when it starts, if the queue goes on as it did for its last tasks."""
    ahead, many = facts["ahead"], facts["ahead"] >= facts["ahead_limit"]
    detail = f"{'at least ' if many else ''}{ahead} due tasks of the queue come first"
    until = None
    if not many and facts["ended"] > 1:
        until = facts["now"] + timedelta(seconds=facts["ended_in"] / (facts["ended"] - 1) * (ahead + 1))
        detail += "; at the pace of the last ones it starts then"
    return Reason("AHEAD_IN_QUEUE", detail, until, {"tasks": f"/tasks?queue={task.queue}&status=PENDING"})


def _rate_reason(task: Task, empty: EmptyRate) -> Reason:
    """A rate has no token; the next one comes at the earliest when what was given to workers starts now."""
    rate = Rate(empty.limit, empty.period, empty.burst)
    bucket = Bucket(rate, empty.full_at).charge(empty.unstarted, empty.now)
    what = {
        "queue": f"rateLimit of queue {empty.name}",
        "thaw": f"resumeRate of queue {empty.name}",
        "target": f"rateLimit of target {empty.name}",
        "key": f"perKey.rateLimit of queue {task.queue}",
    }[empty.kind]
    whose = f" for concurrency key {empty.name}" if empty.kind == "key" else ""
    detail = f"the {what} is {rate.limit:,} in {rate.period:,} s, and has no token left{whose}"
    of_target = {"target": f"/targets/{empty.name}"}
    links = of_target if empty.kind == "target" else {"queue": f"/queues/{task.queue}"}
    return Reason("RATE_LIMIT", detail, bucket.next_token(empty.now), links)


def _reasons_of_target(task: Task, facts: dict[str, Any]) -> list[Reason]:
    reasons, most = [], facts["target_limit"]
    target = {"target": f"/targets/{task.target}"}
    if facts["target_back_at"] is not None:
        detail = f"{task.target} asked to be left alone by a Retry-After"
        reasons.append(Reason("TARGET_BACKING_OFF", detail, facts["target_back_at"], target))
    if most is not None and facts["target_calls"] >= most:
        detail = f"{facts['target_calls']} tasks that call {task.target} are assigned or running; its maxConcurrency is"
        reasons.append(Reason("TARGET_LIMIT", f"{detail} {most}", links=target))
    return reasons


def _too_little_free(task: Task, facts: dict[str, Any]) -> str:
    workers = f"the {facts['live_workers']} workers of queue {task.queue}"
    if task.slots == 1:
        return f"all slots of {workers} are taken"
    large = f"it takes {task.slots} slots, and of {workers} that are large enough"
    return f"{large} none has more than {facts['most_free']} free"


def _kept_reasons(task: Task) -> list[Reason]:
    """Slots are free, and kept for a task that takes several and has waited long."""
    if (other := kept_for(task)) is None:
        return []
    detail = f"free slots are kept for task {other.task_id}, which takes {other.slots} and has waited for long"
    return [Reason("WORKERS_BUSY", detail, links={"task": f"/tasks/{other.task_id}"}, tasks=[other.task_id])]


def _key_reasons(key: str, facts: dict[str, Any]) -> list[Reason]:
    """Whether its concurrency key is paused, and who holds all of it, or comes first for what is free of it."""
    reasons = [Reason("KEY_PAUSED", f"concurrency key {key} of this queue is paused")] if facts["key_paused"] else []
    held, most, holders = facts["held"], facts["key_limit"], facts["holders"]
    if held < most:
        return [*reasons, *_line_reasons(key, facts["firsts_of_key"], most - held, facts["firsts"])]
    if held == most == 1:
        detail = f"task {holders[0]} holds concurrency key {key}"
    else:
        names = ", ".join(map(str, holders)) + (" and others" if held > len(holders) else "")
        detail = f"{held} tasks hold concurrency key {key}, whose maxConcurrency is {most}: {names}"
    return [*reasons, Reason("KEY_LIMIT", detail, links={"task": f"/tasks/{holders[0]}"}, tasks=holders)]


def _line_reasons(key: str, number: int, free: int, firsts: list[UUID]) -> list[Reason]:
    """Whether all that is free of its key is kept for others: they come first, perhaps for a worker of their own."""
    if number < free:
        return []
    if number == free == 1:
        detail = f"task {firsts[0]} comes first for concurrency key {key}"
    else:
        detail = f"{number:,} due tasks come first for concurrency key {key}, which has room for {free:,}"
    first = find_task(firsts[0])
    if waits := "; ".join(f"{reason.code}, {reason.detail}" for reason in (why(first) if first else [])):
        detail += f"; {firsts[0]} waits: {waits}"
    return [Reason("KEY_ORDER", detail, links={"task": f"/tasks/{firsts[0]}"})]


def _no_worker_that_meets(task: Task) -> Reason:
    """Workers serve its queue, and none has what it requires, or is large enough: how near they come."""
    with connection.cursor() as cursor:
        cursor.execute(_LABELS_OF_WORKERS, {"queue": task.queue, "most": MOST_WORKERS})
        workers = [(json.loads(labels), slots) for labels, slots in cursor.fetchall()]
    required = task.required_labels or {}
    if largest := max((slots for labels, slots in workers if meets(required, labels)), default=0):
        those = f"live workers of queue {task.queue}" + (" that have its labels" if required else "")
        return Reason(
            "NO_WORKER_LARGE_ENOUGH", f"it takes {task.slots} slots; the largest of the {those} has {largest}"
        )
    missed = nearest_miss(required, [labels for labels, _ in workers])
    return Reason("NO_WORKER_FOR_LABELS", f"no live worker of queue {task.queue} has {missed}")
