"""What people may do to a task; and every two changes of one task in both orders, over two connections.

The pair matrix: the first change is made and held open, the second runs into it. Whether it waits or skips, the end
must be the one of a serial order, and who came second must be told what it would have been told in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction as django_transaction

from access_app.models import AuditEvent
from access_app.rights import KeyCaller
from access_app.versions import Stale
from flow_app import assignment
from flow_app.models import Queue
from flow_app.queues import pause_queue
from flow_app.survey import survey_due
from tasks_app import deciding, services, transitions
from tasks_app.expiry import expire_tasks, time_out_approvals
from tasks_app.models import Task
from tasks_app.retention import Retention
from tasks_app.sessions import Session
from tasks_app.starting import Attempt
from tasks_app.transitions import IllegalTransition, TaskNotFound
from tests.support.engine import (
    FAILED,
    FAILED_FOR_GOOD,
    RELEASED,
    SUCCEEDED,
    Engine,
    pass_over,
)
from tests.support.races import Rival, rival, rival_on, transaction

OpenSession = Callable[[], Session]
APPROVER = KeyCaller("boss", frozenset({"admin"}))


def ended(engine: Engine, **fields: Any) -> UUID:
    worker = engine.worker()
    attempt = engine.running(worker, **fields)
    engine.finish(worker, attempt, FAILED_FOR_GOOD)
    return attempt.task_id


class TestCancel:
    def test_ends_a_waiting_task_at_once(self, engine: Engine) -> None:
        worker = engine.worker()
        scheduled = engine.assigned(worker)
        pending = engine.create(schedule_at=datetime(2100, 1, 1, tzinfo=UTC))
        for task_id in (pending, scheduled):
            task = services.cancel_task(task_id, actor="me", reason="enough")
            assert (task.status, task.cancel_requested_at, task.attempt) == ("CANCELLED", None, 0)
            assert task.finished_at is not None
            assert engine.actions(task_id) == ["task.cancelled"]
        assert engine.violations() == {}

    def test_asks_a_running_task_to_stop_once(self, engine: Engine) -> None:
        attempt = engine.running(engine.worker())
        asked = services.cancel_task(attempt.task_id, actor="me")
        again = services.cancel_task(attempt.task_id, actor="me")
        assert asked.status == "RUNNING"
        assert asked.cancel_requested_at is not None
        assert (again.version, again.cancel_requested_at) == (asked.version, asked.cancel_requested_at)
        assert engine.actions(attempt.task_id) == ["task.cancel_requested"]

    def test_refuses_a_task_that_has_ended(self, engine: Engine) -> None:
        task_id = ended(engine)
        with pytest.raises(IllegalTransition, match="FAILED cannot be cancelled"):
            services.cancel_task(task_id, actor="me")

    def test_refuses_an_unknown_task(self, engine: Engine) -> None:
        with pytest.raises(TaskNotFound):
            services.cancel_task(UUID(int=1), actor="me")


class TestCancelTasks:
    def test_ends_what_waits_and_asks_what_runs_to_stop(self, engine: Engine) -> None:
        worker = engine.worker()
        running, ended = engine.running(worker), engine.running(worker)
        engine.finish(worker, ended, SUCCEEDED)
        waiting = engine.create()
        ids = [waiting, running.task_id, ended.task_id]
        before = [engine.task(task_id).version for task_id in ids]
        parameters = {"ids": ids, "actors": ["schedule:x"] * 3, "reason": "the next one starts"}
        assert engine.session.rows("cancel_tasks", parameters) == [(worker,)]
        tasks = [engine.task(task_id) for task_id in ids]
        assert [task.status for task in tasks] == ["CANCELLED", "RUNNING", "SUCCESS"]
        assert [task.cancel_requested_at is not None for task in tasks] == [False, True, False]
        assert [task.version - version for task, version in zip(tasks, before, strict=True)] == [1, 1, 0]
        assert engine.session.rows("cancel_tasks", parameters) == []  # asked once


class TestEdit:
    def test_takes_an_assigned_task_back_in_the_same_statement(self, engine: Engine) -> None:
        worker = engine.worker()
        task_id = engine.assigned(worker)
        before = engine.task(task_id)
        task = services.edit_task(task_id, {"priority": 9, "payload": {"sleepDurationMs": 1}}, actor="me")
        assert (task.status, task.worker_id, task.assigned_at) == ("PENDING", None, None)
        assert (task.priority, task.payload, task.version) == (9, {"sleepDurationMs": 1}, before.version + 1)
        assert engine.start(worker) == []
        assert AuditEvent.objects.get(task_id=task_id).detail["fields"] == ["payload", "priority"]

    def test_moves_the_due_time_with_the_schedule(self, engine: Engine) -> None:
        later = datetime(2100, 1, 1, tzinfo=UTC)
        task = services.edit_task(engine.create(), {"schedule_at": later}, actor="me")
        assert (task.schedule_at, task.run_at) == (later, later)

    @pytest.mark.parametrize("status", ["RUNNING", "FAILED"])
    def test_refuses_a_task_that_has_started(self, engine: Engine, status: str) -> None:
        task_id = engine.running(engine.worker()).task_id if status == "RUNNING" else ended(engine)
        with pytest.raises(IllegalTransition, match=f"{status} cannot be changed"):
            services.edit_task(task_id, {"priority": 1}, actor="me")


class TestRetry:
    @pytest.mark.parametrize("status", ["SUCCESS", "FAILED", "CANCELLED"])
    def test_makes_an_ended_task_pending_with_its_counts_at_zero(self, engine: Engine, status: str) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.finish(worker, attempt, FAILED)
        engine.move(attempt.task_id, run_at=-timedelta(seconds=1))
        engine.assign()
        [attempt] = engine.start(worker)
        if status == "CANCELLED":
            services.cancel_task(attempt.task_id, actor="me")
        engine.finish(worker, attempt, SUCCEEDED if status == "SUCCESS" else FAILED_FOR_GOOD)
        assert engine.task(attempt.task_id).status == status
        task = services.retry_task(attempt.task_id, actor="me", reason="again")
        assert (task.status, task.attempt, task.retry_count, task.crash_count) == ("PENDING", 2, 0, 0)
        cleared = (task.worker_id, task.assigned_at, task.started_at, task.finished_at, task.cancel_requested_at)
        assert cleared == (None,) * 5
        assert task.run_at == task.schedule_at == task.updated_at
        assert engine.actions(task.pk)[-1] == "task.retried"
        engine.assign()
        [third] = engine.start(worker)
        assert third.attempt == 3
        engine.finish(worker, third, SUCCEEDED)
        assert engine.violations() == {}

    def test_clears_an_expiry_that_has_passed_and_keeps_one_to_come(self, engine: Engine) -> None:
        expired = engine.create(expires_at=datetime(2100, 1, 1, tzinfo=UTC))
        engine.move(expired, expires_at=-timedelta(seconds=1))
        expire_tasks(engine.session)
        task = services.retry_task(expired, actor="me")
        assert (task.expires_at, task.end_reason) == (None, None)
        kept = ended(engine, expires_at=datetime(2100, 1, 1, tzinfo=UTC))
        assert services.retry_task(kept, actor="me").expires_at is not None

    def test_forgets_that_a_task_was_quarantined(self, engine: Engine) -> None:
        attempt = engine.running(engine.worker(), on_worker_lost="fail")
        engine.lose(engine.task(attempt.task_id).worker_id)  # type: ignore[arg-type]
        task = services.retry_task(attempt.task_id, actor="me")
        assert (task.status, task.end_reason, task.crash_count) == ("PENDING", None, 0)

    @pytest.mark.parametrize("status", ["PENDING", "SCHEDULED", "RUNNING"])
    def test_refuses_a_task_that_has_not_ended(self, engine: Engine, status: str) -> None:
        worker = engine.worker()
        task_id = engine.create()
        if status != "PENDING":
            engine.assign()
        if status == "RUNNING":
            engine.start(worker)
        with pytest.raises(IllegalTransition, match=f"{status} cannot be retried"):
            services.retry_task(task_id, actor="me")


class TestVersions:
    """The optimistic lock of people: a stale editor is told, and nothing is lost."""

    CHANGES: dict[str, Callable[..., Task]] = {
        "cancel": lambda task_id, versions: services.cancel_task(task_id, actor="me", versions=versions),
        "edit": lambda task_id, versions: services.edit_task(task_id, {"priority": 1}, actor="me", versions=versions),
        "retry": lambda task_id, versions: services.retry_task(task_id, actor="me", versions=versions),
    }

    @pytest.mark.parametrize("change", CHANGES)
    def test_refuse_a_change_of_what_was_not_read(self, engine: Engine, change: str) -> None:
        task_id = ended(engine) if change == "retry" else engine.create()
        version = engine.task(task_id).version
        with pytest.raises(Stale) as raised:
            self.CHANGES[change](task_id, {version - 1, version + 1})
        assert raised.value.version == version
        assert engine.task(task_id).version == version
        assert self.CHANGES[change](task_id, {version}).version == version + 1

    def test_are_looked_at_before_the_status(self, engine: Engine) -> None:
        with pytest.raises(Stale):
            services.cancel_task(ended(engine), actor="me", versions={1})

    def test_let_one_of_two_editors_win(self, engine: Engine) -> None:
        task_id = engine.create()
        with django_transaction.atomic():
            transitions.edit(task_id, {"priority": 1}, actor="one", versions={1})
            other = rival(lambda: services.edit_task(task_id, {"priority": 2}, actor="two", versions={1}))
            other.waits(engine.session)
        with pytest.raises(Stale):
            other.answer()
        assert engine.task(task_id).priority == 1


# The pair matrix


@dataclass
class Scene:
    """One task in the state a pair starts from."""

    engine: Engine
    task_id: UUID
    worker: UUID
    attempt: Attempt | None = None

    @property
    def version(self) -> int:
        return self._version

    def __post_init__(self) -> None:
        self._version = self.engine.task(self.task_id).version


def pending(engine: Engine) -> Scene:
    return Scene(engine, worker=engine.worker(), task_id=engine.create())


def scheduled(engine: Engine) -> Scene:
    worker = engine.worker()
    return Scene(engine, engine.assigned(worker), worker)


def expiring(engine: Engine) -> Scene:
    scene = scheduled(engine)
    engine.move(scene.task_id, expires_at=-timedelta(seconds=1))
    return scene


def running(engine: Engine) -> Scene:
    worker = engine.worker()
    attempt = engine.running(worker)
    return Scene(engine, attempt.task_id, worker, attempt)


def stopping(engine: Engine) -> Scene:
    scene = running(engine)
    services.cancel_task(scene.task_id, actor="me")
    return scene


def lost(engine: Engine) -> Scene:
    scene = running(engine)
    engine.kill(scene.worker)
    return scene


def lost_before_start(engine: Engine) -> Scene:
    scene = scheduled(engine)
    engine.kill(scene.worker)
    return scene


def long_ended(engine: Engine) -> Scene:
    worker = engine.worker()
    attempt = engine.running(worker)
    engine.finish(worker, attempt, FAILED_FOR_GOOD)
    engine.move(attempt.task_id, finished_at=-timedelta(days=400))
    return Scene(engine, attempt.task_id, worker, attempt)


def in_time(engine: Engine) -> Scene:
    return Scene(engine, engine.create(approval={"of": "scope:admin", "timeoutSeconds": 60}), engine.worker())


def too_late(engine: Engine) -> Scene:
    """Its approval was waited for as long as it said."""
    scene = in_time(engine)
    engine.session.execute("UPDATE tasks SET approval_ends_at = now() WHERE id = %s", [scene.task_id])
    return scene


NOTHING = "nothing"


def _assign(session: Session, scene: Scene) -> Any:
    """A pass in pieces, so that its transaction can be held open."""
    survey = survey_due(session)
    if session.connection.info.transaction_status == session.connection.info.transaction_status.IDLE:
        return assignment.assign_due_tasks(session, survey).assigned
    due = survey.due(None)
    session.rows("take_pass")
    due = [head for head in due if head.queue is not None]
    return len(pass_over(session, [head.queue or "" for head in due], [head.priority for head in due]).tasks)


def _finish(outcome: Any) -> Callable[[Session, Scene], Any]:
    return lambda session, scene: Engine(session).finish(scene.worker, scene.attempt, outcome)  # type: ignore[arg-type]


#: Changes made over a session of the engine, returning something false when they found nothing to do.
BY_THE_ENGINE: dict[str, Callable[[Session, Scene], Any]] = {
    "assign": _assign,
    "start": lambda session, scene: len(Engine(session).start(scene.worker)),
    "succeed": _finish(SUCCEEDED),
    "fail": _finish(FAILED),
    "fail for good": _finish(FAILED_FOR_GOOD),
    "release": _finish(RELEASED),
    "recover": lambda session, scene: [row.next_status for row in Engine(session).recover()],
    "expire": lambda session, scene: expire_tasks(session),
    "time out": lambda session, scene: time_out_approvals(session),
    "hand back": lambda session, scene: assignment.hand_back_assigned(session, worker_id=scene.worker, reason="x"),
    "delete": lambda session, scene: Retention().delete(session),
}
#: Changes people ask for, over Django's connection.
BY_PEOPLE: dict[str, Callable[[Scene], Any]] = {
    "cancel": lambda scene: services.cancel_task(scene.task_id, actor="me"),
    "cancel what was read": lambda scene: services.cancel_task(scene.task_id, actor="me", versions={scene.version}),
    "edit": lambda scene: services.edit_task(scene.task_id, {"timeout_ms": 5}, actor="me"),
    "edit what was read": lambda scene: services.edit_task(
        scene.task_id, {"timeout_ms": 5}, actor="me", versions={scene.version}
    ),
    "retry": lambda scene: services.retry_task(scene.task_id, actor="me"),
    "retry what was read": lambda scene: services.retry_task(scene.task_id, actor="me", versions={scene.version}),
    "approve": lambda scene: deciding.approve_task(scene.task_id, caller=APPROVER),
    "reject": lambda scene: deciding.reject_task(scene.task_id, caller=APPROVER),
    "pause": lambda scene: pause_queue("default", actor="me"),
}
MATRIX: dict[Callable[[Engine], Scene], list[str]] = {
    pending: ["assign", "cancel", "edit", "edit what was read", "pause"],
    in_time: ["approve", "reject", "cancel", "edit"],
    too_late: ["time out", "reject", "cancel"],
    scheduled: ["start", "hand back", "pause", "cancel", "cancel what was read", "edit"],
    expiring: ["expire", "start", "hand back", "cancel", "edit"],
    running: ["succeed", "fail", "fail for good", "release", "cancel", "cancel what was read"],
    stopping: ["succeed", "fail", "release", "cancel"],
    lost: ["recover", "succeed", "fail", "release", "cancel"],
    lost_before_start: ["recover", "start", "hand back", "cancel", "edit"],
    long_ended: ["retry", "retry what was read", "delete", "cancel", "succeed"],
}


def told(answer: Any) -> str:
    match answer:
        case Exception():
            return f"{type(answer).__name__}: {answer}"
        case Task():
            return f"{answer.status} {answer.version}"
        case Queue():
            return "paused"
    return str(answer) if answer else NOTHING


def attempted(act: Callable[[], Any]) -> str:
    try:
        return told(act())
    except (IllegalTransition, Stale, TaskNotFound) as error:
        return told(error).replace(str(getattr(error, "task_id", "")), "")


def state(scene: Scene) -> dict[str, Any]:
    """All that a change may leave behind, without what differs from run to run."""
    task = Task.objects.filter(pk=scene.task_id).first()
    if task is None:
        return {"deleted": True, "history": scene.engine.executions(scene.task_id)}
    columns = ("status", "version", "attempt", "retry_count", "crash_count", "end_reason", "timeout_ms", "gate")
    times = ("worker_id", "assigned_at", "started_at", "finished_at", "cancel_requested_at")
    return {
        **{name: getattr(task, name) for name in columns},
        **{name: getattr(task, name) is not None for name in times},
        "history": [(e.attempt, e.status, e.task_status, e.error_code) for e in scene.engine.executions(task.pk)],
        "events": sorted(scene.engine.actions(task.pk)),
    }


class Matrix:
    def __init__(self, engine: Engine, open_session: OpenSession) -> None:
        self.engine = engine
        self.first, self.second = open_session(), open_session()

    def serial(self, build: Callable[[Engine], Scene], *changes: str) -> tuple[dict[str, Any], list[str]]:
        scene = self.scene(build)
        answers = [attempted(lambda change=change: self.act(change, self.first, scene)) for change in changes]  # type: ignore[misc]
        return state(scene), [self.anonymous(answer, scene) for answer in answers]

    def staged(
        self, build: Callable[[Engine], Scene], first: str, second: str
    ) -> tuple[dict[str, Any], list[str], bool]:
        scene = self.scene(build)
        with self.held_open(first):
            answer = attempted(lambda: self.act(first, self.first, scene))
            other = self.rival(second, scene)
            waited = other.has_to_wait(self.engine.session)
        answers = [answer, attempted(other.answer)]
        return state(scene), [self.anonymous(answer, scene) for answer in answers], waited

    def scene(self, build: Callable[[Engine], Scene]) -> Scene:
        tables = ("tasks", "task_executions", "audit_events", "queues", "worker_heartbeats")
        self.engine.session.execute("; ".join(f"DELETE FROM {table}" for table in tables))
        return build(self.engine)

    def act(self, change: str, session: Session, scene: Scene) -> Any:
        return BY_PEOPLE[change](scene) if change in BY_PEOPLE else BY_THE_ENGINE[change](session, scene)

    @contextmanager
    def held_open(self, change: str) -> Iterator[None]:
        with django_transaction.atomic() if change in BY_PEOPLE else transaction(self.first):
            yield

    def rival(self, change: str, scene: Scene) -> Rival[Any]:
        if change in BY_PEOPLE:
            return rival(lambda: BY_PEOPLE[change](scene))
        return rival_on(self.second, lambda session: BY_THE_ENGINE[change](session, scene))

    @staticmethod
    def anonymous(answer: str, scene: Scene) -> str:
        return answer.replace(str(scene.task_id), "<task>")


class TestPairs:
    @pytest.mark.parametrize(
        ("build", "first"),
        [(build, first) for build, changes in MATRIX.items() for first in changes],
        ids=lambda value: value.__name__ if callable(value) else value.replace(" ", "-"),
    )
    def test_end_as_one_after_the_other_would_and_tell_the_loser(
        self, engine: Engine, open_session: OpenSession, build: Callable[[Engine], Scene], first: str
    ) -> None:
        matrix = Matrix(engine, open_session)
        for second in MATRIX[build]:
            expected, both_told = matrix.serial(build, first, second)
            found, answers, waited = matrix.staged(build, first, second)
            pair = f"{first}, then {second}"
            assert engine.violations() == {}, pair
            if (found, answers) != (expected, both_told):
                # Then it skipped what the first one held, and must leave it as if it had never been there.
                assert (waited, answers[1]) == (False, NOTHING), pair
                alone, told_alone = matrix.serial(build, first)
                assert (found, answers[:1]) == (alone, told_alone), pair
        # A session is opened by those that use one: not by people.
        assert max(matrix.first.epoch, matrix.second.epoch) <= 1, "a deadlock would have cost a session"
