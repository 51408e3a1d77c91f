"""Workers and tasks brought into a state by the engine's own statements, for tests of what comes next.

Nothing here writes a status: what a test starts from has happened as it would in production. Rows that need no history
are in ``tests/factories.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings

from access_app.models import AuditEvent
from flow_app import assignment, locking, opening
from flow_app.assignment import PassReport
from flow_app.matching import Candidate, Match, Room, match
from flow_app.outlook import Outlook
from flow_app.survey import survey_due
from tasks_app import services
from tasks_app.executors.base import Outcome, StopReason
from tasks_app.fields import NewTask
from tasks_app.models import Task, TaskExecution
from tasks_app.retries import RetryPolicy
from tasks_app.sessions import Session
from tasks_app.signals import RecoveredTask
from tasks_app.starting import Attempt, adopt_running, start_assigned
from tasks_app.states import ErrorCode
from workers_app import heartbeats, invariants, recovery
from workers_app.endings import Ending, ending_of
from workers_app.heartbeats import Registration
from workers_app.late_results import keep_late_results
from workers_app.models import Worker
from workers_app.recorder import finish_attempts

SUCCEEDED = Outcome.success({"ok": True})
#: How a task can end that has not run to its end.
UNRUN = ("cancelled", "expired", "lost")
FAILED = Outcome.failure(ErrorCode.TASK_FAILED, "it broke", result={"seen": 1})
FAILED_FOR_GOOD = Outcome.failure(ErrorCode.HTTP_STATUS, "404", retryable=False)
TIMED_OUT = Outcome.stopped(StopReason.DEADLINE, timeout=timedelta(seconds=1))
CANCELLED = Outcome.stopped(StopReason.CANCEL, timeout=timedelta(seconds=1))
RELEASED = Outcome.stopped(StopReason.RELEASE, timeout=timedelta(seconds=1))


def make_worker(
    session: Session,
    *,
    slots: int = 4,
    queues: list[str] | None = None,
    prefetch: int = 0,
    name: str = "w",
    labels: dict[str, str] | None = None,
) -> UUID:
    """Register a worker and let it beat once, which is how its prefetch gets known."""
    worker_id = uuid4()
    registration = Registration(
        worker_id=worker_id, host="host", pid=1, name=name, slots=slots, queues=queues, labels=labels or {}, version="t"
    )
    heartbeats.register_worker(session, registration)
    if prefetch:
        heartbeats.beat(session, worker_id, held={}, prefetch=prefetch)
    return worker_id


def places_of(queues: Sequence[str], priorities: Sequence[int] = ()) -> dict[str, Any]:
    """Parameters of lock_candidates.sql, for looking at everything."""
    count = len(queues)
    return {
        "queues": list(queues), "priorities": list(priorities) or [0] * count,
        "from": ["-infinity"] * count, "ids": [UUID(int=0)] * count, "locked": [],
    }  # fmt: skip


def room_of(queues: Sequence[str], *, limit: int = 9) -> dict[str, Any]:
    """Parameters of count_room.sql, for counting everything."""
    return {"workers": [], "floors": [], "queues": list(queues), "limit": limit, "suspects": False}


def pass_over(session: Session, queues: Sequence[str], priorities: Sequence[int] = (), *, limit: int = 9) -> Match:
    """The inside of a pass, behind ``take_pass``: its transaction, if there is one, stays open."""
    workers = session.rows("count_room", room_of(queues, limit=limit), of=Room)
    candidates = session.rows("lock_candidates", places_of(queues, priorities), of=Candidate)
    keys = locking.look_at_keys(session, candidates)
    found = match(workers, candidates, keys, limit)
    session.send("assign_due_tasks", locking.given(found))
    locking.park_behind_keys(session, found, keys)
    return found


def in_seconds(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


class Engine:
    """What scheduler, workers and people do to tasks, each in one line, over one session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        [(self.timeline,)] = session.fetch("SELECT database_timeline()")

    def worker(self, **options: Any) -> UUID:
        return make_worker(self.session, **options)

    def create(self, **fields: Any) -> UUID:
        """A PENDING task, due now unless ``schedule_at`` says otherwise."""
        return services.create_task(NewTask(**{"type": "DUMMY"} | fields), created_by="test").task.pk

    def create_many(self, count: int, **fields: Any) -> list[UUID]:
        new = NewTask(**{"type": "DUMMY"} | fields)
        return services.create_tasks([replace(new) for _ in range(count)], created_by="test")

    def calls(self, count: int = 1, host: str = "api.example.com", **fields: Any) -> list[UUID]:
        """Tasks that call a host."""
        return self.create_many(count, type="HTTP", payload={"url": f"http://{host}/"}, **fields)

    def assign(self, *, limit: int = assignment.MAX_BATCH) -> PassReport:
        """One survey and one pass."""
        return assignment.assign_due_tasks(self.session, survey_due(self.session), limit=limit)

    def settle(self) -> int:
        """What a scheduler does until nothing more moves: passes, and the opening of gates before them.

        How many tasks were assigned.
        """
        outlook, assigned = Outlook(), 0
        while True:
            opening.open_known(self.session, outlook)
            report = assignment.assign_due_tasks(self.session, survey_due(self.session), outlook=outlook)
            assigned += report.assigned
            if not report.moved:
                return assigned

    def start(self, worker_id: UUID, *, limit: int = 100) -> list[Attempt]:
        return start_assigned(self.session, worker_id=worker_id, limit=limit, timeline=self.timeline)

    def assigned(self, worker_id: UUID, **fields: Any) -> UUID:
        """A task SCHEDULED on a worker that has room for it; nothing else may be due."""
        task_id = self.create(**fields)
        self.assign()
        assert self.task(task_id).worker_id == worker_id
        return task_id

    def running(self, worker_id: UUID, **fields: Any) -> Attempt:
        """A started attempt of a fresh task on this worker."""
        task_id = self.assigned(worker_id, **fields)
        [attempt] = [attempt for attempt in self.start(worker_id) if attempt.task_id == task_id]
        return attempt

    def attempt_of(self, task_id: UUID) -> Attempt:
        """The attempt a task is RUNNING."""
        worker_id = self.task(task_id).worker_id
        assert worker_id is not None
        found = adopt_running(self.session, worker_id=worker_id, held=[], timeline=self.timeline)
        return next(attempt for attempt in found if attempt.task_id == task_id)

    def finish(self, worker_id: UUID, attempt: Attempt, outcome: Outcome) -> str | None:
        """Record one ending; return the task's next status, None when the fence did not hold."""
        [next_status] = finish_attempts(self.session, worker_id, endings([attempt], outcome))
        return next_status

    def keep_late(self, worker_id: UUID, attempt: Attempt, outcome: Outcome) -> bool:
        return bool(keep_late_results(self.session, worker_id, endings([attempt], outcome)))

    def kill(self, worker_id: UUID) -> None:
        """Mark a worker DEAD, as its guardian or a scheduler does."""
        assert heartbeats.mark_dead(self.session, worker_id)

    def recover(self) -> list[RecoveredTask]:
        return recovery.recover_lost_tasks(self.session)

    def lose(self, worker_id: UUID) -> list[RecoveredTask]:
        """The worker dies, and its tasks move on."""
        self.kill(worker_id)
        return self.recover()

    def run(self, task_id: UUID, outcome: Outcome = SUCCEEDED) -> None:
        """The task runs now, and ends so; nothing else may be due."""
        worker = self.worker()
        self.assign()
        [attempt] = [each for each in self.start(worker) if each.task_id == task_id]
        self.finish(worker, attempt, outcome)
        self.lose(worker)

    def end_unrun(self, task_id: UUID, how: str) -> None:
        """The task ends as one of `UNRUN`; nothing else may be due, and no lost worker may be forgiven."""
        if how == "cancelled":
            services.cancel_task(task_id, actor="test")
        elif how == "expired":
            self.move(task_id, expires_at=-timedelta(minutes=1))
            self.session.rows("expire_tasks", {"limit": 10})
        else:
            worker = self.worker()
            self.assign()
            self.start(worker)
            self.lose(worker)

    def suspects(self, *wanted: dict[str, Any]) -> list[UUID]:
        """Waiting tasks that have each taken a worker down."""
        victims = [self.worker(slots=1) for _ in wanted]
        tasks = [self.create(**fields) for fields in wanted]
        self.assign()
        for victim in victims:
            assert len(self.start(victim)) == 1
            self.kill(victim)
        assert len(self.recover()) == len(wanted)
        return tasks

    def move(self, task_id: UUID, **times: timedelta) -> None:
        """Set times of a task relative to the database's now, as if that time had passed."""
        for column, offset in times.items():
            self.session.execute(f"UPDATE tasks SET {column} = now() + %s WHERE id = %s", [offset, task_id])

    def task(self, task_id: UUID) -> Task:
        return Task.objects.get(pk=task_id)

    def statuses(self, task_ids: Sequence[UUID]) -> list[str]:
        found = dict(Task.objects.filter(pk__in=task_ids).values_list("pk", "status"))
        return [found[task_id] for task_id in task_ids]

    def owner_of(self, task_id: UUID) -> UUID | None:
        return self.task(task_id).worker_id

    def executions(self, task_id: UUID) -> list[TaskExecution]:
        return list(TaskExecution.objects.filter(task_id=task_id).order_by("attempt"))

    def actions(self, task_id: UUID) -> list[str]:
        return list(AuditEvent.objects.filter(task_id=task_id).order_by("id").values_list("action", flat=True))

    def worker_state(self, worker_id: UUID) -> str:
        return Worker.objects.get(pk=worker_id).state

    def violations(self) -> dict[str, int]:
        """As `invariants.violations`, in one trip instead of one for each promise."""
        counts = ", ".join(f"({query})" for query in invariants.QUERIES.values())
        [row] = self.session.fetch(f"SELECT {counts}")
        return {name: count for name, count in zip(invariants.QUERIES, row, strict=True) if count}


def endings(attempts: Sequence[Attempt], outcome: Outcome = SUCCEEDED) -> list[Ending]:
    """As a worker makes them, in the middle of the jitter."""
    config = settings.SCHEDULER
    default = RetryPolicy.merged(None, base_delay=config.retry_base_delay, max_delay=config.retry_max_delay)
    return [ending_of(attempt, outcome, 0.1, default=default, chance=0.5) for attempt in attempts]
