"""What people and programs ask for: creating tasks once, however often they ask; cloning; pausing queues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog
from django.conf import settings
from django.db import connection, transaction

from access_app.idempotency import Idempotency, IdempotencyConflict, take_idempotency_key
from access_app.ids import created_at
from access_app.models import AuditEvent, IdempotencyKey
from flow_app.assignment import hand_back_assigned
from flow_app.models import Queue
from flow_app.queues import pause_queue, resume_queue
from tasks_app import services, wakeups
from tasks_app.expiry import expire_tasks
from tasks_app.fields import NewTask
from tasks_app.models import Task
from tasks_app.new_tasks import InvalidTask
from tasks_app.sessions import Session
from tasks_app.states import Gate
from tasks_app.transitions import TaskNotFound
from tests.support.engine import FAILED_FOR_GOOD, SUCCEEDED, Engine, endings
from tests.support.races import rival

OpenSession = Callable[[], Session]

DUMMY = NewTask(type="DUMMY")
PAST = datetime(2001, 1, 1, tzinfo=UTC)
FUTURE = datetime(2100, 1, 1, tzinfo=UTC)


def key(name: str = "k", fingerprint: bytes = b"a" * 32) -> Idempotency:
    return Idempotency(name, fingerprint)


def database_now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        [now] = cursor.fetchone()
    return now  # type: ignore[no-any-return]


class WakeUps(list[str]):
    """Who was woken, in order."""


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> WakeUps:
    calls = WakeUps()
    monkeypatch.setattr(wakeups, "notify_schedulers", lambda session=None, **_: calls.append("schedulers"))
    monkeypatch.setattr(wakeups, "notify_stop", lambda worker_id: calls.append(f"stop {worker_id}"))
    return calls


def create_one(new: NewTask) -> Task:
    return services.create_task(new, created_by="key:me").task


def create_by_copy(new: NewTask) -> Task:
    [task_id] = services.create_tasks([new], created_by="key:me")
    return Task.objects.get(pk=task_id)


@pytest.mark.usefixtures("committed_db")
@pytest.mark.parametrize("create", [create_one, create_by_copy])
class TestCreate:
    """One task and many are written by two statements, which must write the same."""

    def test_fills_in_the_installations_defaults(self, create: Callable[[NewTask], Task]) -> None:
        before = database_now()
        task = create(DUMMY)
        assert (task.status, task.attempt, task.version, task.retry_count, task.crash_count) == ("PENDING", 0, 1, 0, 0)
        assert (task.queue, task.priority, task.timeout_ms, task.payload) == ("default", 0, 300_000, {})
        assert (task.max_retries, task.on_worker_lost, task.retry) == (
            settings.SCHEDULER.default_max_retries, "retry", None,
        )  # fmt: skip
        assert (task.created_by, task.idempotency_key, task.gate) == ("key:me", None, Gate.OPEN)
        assert before <= task.schedule_at <= database_now()
        assert task.run_at == task.schedule_at == task.updated_at
        assert task.created_at == created_at(task.pk)
        assert len(task.correlation_id) == 32

    def test_stores_everything_that_was_asked_for(self, create: Callable[[NewTask], Task]) -> None:
        asked: dict[str, Any] = {
            "payload": {"sleepDurationMs": 3, "shouldFail": True},
            "schedule_at": FUTURE,
            "max_retries": 0,
            "queue": "mail:eu.1",
            "priority": -100,
            "timeout_ms": 1,
            "expires_at": FUTURE + timedelta(days=1),
            "correlation_id": "abc",
            "concurrency_key": "customer 7 · ü",
            "retry": {"backoff": "linear", "jitter": False},
            "on_worker_lost": "fail",
        }
        task = create(NewTask(type="DUMMY", **asked))
        assert {name: getattr(task, name) for name in asked} == asked
        assert task.run_at == FUTURE

    def test_takes_a_due_time_of_the_past_for_now(self, create: Callable[[NewTask], Task]) -> None:
        before = database_now()
        task = create(NewTask(type="DUMMY", schedule_at=PAST))
        assert before <= task.schedule_at == task.run_at

    def test_takes_the_correlation_id_of_the_request_it_serves(self, create: Callable[[NewTask], Task]) -> None:
        with structlog.contextvars.bound_contextvars(correlation_id="of-the-request"):
            assert create(DUMMY).correlation_id == "of-the-request"
            assert create(NewTask(type="DUMMY", correlation_id="own")).correlation_id == "own"

    def test_lets_a_task_that_was_sent_none_bear_its_own_id(self, create: Callable[[NewTask], Task]) -> None:
        task = create(DUMMY)
        assert task.correlation_id == Task.objects.get().correlation_id == task.pk.hex
        assert list(Task.objects.values_list("correlation_id", flat=True)) == [None]

    def test_refuses_a_bad_task_and_stores_nothing(self, create: Callable[[NewTask], Task]) -> None:
        with pytest.raises(InvalidTask) as raised:
            create(NewTask(type="DUMMY", priority=101, queue="no spaces"))
        assert set(raised.value.problems) == {"priority", "queue"}
        assert not Task.objects.exists()

    @pytest.mark.parametrize("text", ["\\", "\t\n\r\\N\\.", "ü😀", '"', "\u2028", "\\u0000"])
    def test_stores_any_text_as_it_is(self, create: Callable[[NewTask], Task], text: str) -> None:
        payload = {"command": text, "environment": {"A": text}}
        assert create(NewTask(type="SHELL", payload=payload)).payload == payload

    def test_wakes_the_schedulers_after_the_commit(self, create: Callable[[NewTask], Task], woken: WakeUps) -> None:
        with transaction.atomic():
            create(DUMMY)
            assert woken == []
        assert woken == ["schedulers"]

    def test_says_that_there_are_only_new_tasks(
        self, create: Callable[[NewTask], Task], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The pairs they are in, when all of them are due: with anything else everybody has to look by himself."""
        told: list[tuple[bool, list[wakeups.Pair]]] = []
        monkeypatch.setattr(wakeups, "own_hint", lambda new: None)
        monkeypatch.setattr(wakeups, "notify_schedulers", lambda *, only_new, new: told.append((only_new, list(new))))
        create(NewTask(type="DUMMY", queue="q", priority=7))
        create(NewTask(type="DUMMY", queue="q", schedule_at=PAST))
        create(NewTask(type="DUMMY", queue="q", schedule_at=FUTURE))
        assert told == [(True, [("q", 7)]), (True, [("q", 0)]), (True, [])]


@pytest.mark.usefixtures("committed_db")
class TestCreateTasks:
    def test_answers_the_ids_in_order(self) -> None:
        ids = services.create_tasks([NewTask(type="DUMMY", priority=n) for n in range(50)], created_by="me")
        assert [Task.objects.get(pk=task_id).priority for task_id in ids] == list(range(50))
        assert ids == sorted(ids)

    def test_stores_none_when_one_is_bad(self) -> None:
        with pytest.raises(InvalidTask):
            services.create_tasks([DUMMY, NewTask(type="DUMMY", timeout_ms=0)], created_by="me")
        assert not Task.objects.exists()

    def test_of_none_are_none(self) -> None:
        assert services.create_tasks([], created_by="me") == []


@pytest.mark.usefixtures("committed_db")
class TestIdempotency:
    def test_answers_the_same_task_for_the_same_request(self) -> None:
        first = services.create_task(DUMMY, created_by="me", idempotency=key())
        again = services.create_task(DUMMY, created_by="me", idempotency=key())
        assert (first.replayed, again.replayed) == (False, True)
        assert first.task.pk == again.task.pk
        assert first.task.idempotency_key == "k"

    def test_refuses_the_key_for_another_request(self) -> None:
        services.create_task(DUMMY, created_by="me", idempotency=key())
        with pytest.raises(IdempotencyConflict):
            services.create_task(DUMMY, created_by="me", idempotency=key(fingerprint=b"b" * 32))
        assert Task.objects.count() == 1

    def test_keeps_the_keys_of_two_callers_apart(self) -> None:
        services.create_task(DUMMY, created_by="me", idempotency=key())
        services.create_task(DUMMY, created_by="you", idempotency=key())
        assert Task.objects.count() == 2

    def test_frees_the_key_of_a_request_that_was_rolled_back(self) -> None:
        with pytest.raises(RuntimeError), transaction.atomic():
            services.create_task(DUMMY, created_by="me", idempotency=key())
            raise RuntimeError
        assert not services.create_task(DUMMY, created_by="me", idempotency=key()).replayed

    def test_makes_one_task_of_twenty_sent_at_once(self) -> None:
        def send(_: int) -> tuple[UUID, bool]:
            try:
                created = services.create_task(DUMMY, created_by="me", idempotency=key())
                return created.task.pk, created.replayed
            finally:
                connection.close()

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(send, range(20)))
        assert len({task_id for task_id, _ in answers}) == Task.objects.count() == 1
        assert Counter(replayed for _, replayed in answers) == {True: 19, False: 1}

    def test_waits_for_the_first_sender_and_answers_its_task(self, engine: Engine) -> None:
        with transaction.atomic():
            first = services.create_task(DUMMY, created_by="me", idempotency=key())
            second = rival(lambda: services.create_task(DUMMY, created_by="me", idempotency=key()))
            second.waits(engine.session)
        answer = second.answer()
        assert (answer.replayed, answer.task.pk) == (True, first.task.pk)

    def test_creates_the_task_when_the_first_sender_failed(self, engine: Engine) -> None:
        with pytest.raises(RuntimeError), transaction.atomic():
            services.create_task(DUMMY, created_by="me", idempotency=key())
            second = rival(lambda: services.create_task(DUMMY, created_by="me", idempotency=key()))
            second.waits(engine.session)
            raise RuntimeError
        assert not second.answer().replayed
        assert Task.objects.count() == 1

    def test_makes_one_task_again_when_the_first_is_gone(self) -> None:
        """Whatever removed the task and left its key behind, the same request does not make one more each time."""
        first = services.create_task(DUMMY, created_by="me", idempotency=key())
        Task.objects.filter(pk=first.task.pk).delete()
        second = services.create_task(DUMMY, created_by="me", idempotency=key())
        third = services.create_task(DUMMY, created_by="me", idempotency=key())
        assert third.task.pk == second.task.pk
        assert Task.objects.count() == 1

    def test_keeps_the_response_of_a_call(self) -> None:
        response = {"created": 1, "failed": 0}
        with transaction.atomic():
            assert take_idempotency_key("me", key(), [UUID(int=1)], response) is None
        with transaction.atomic():
            replay = take_idempotency_key("me", key(), [UUID(int=2)], {"other": True})
        assert replay is not None
        assert (replay.task_ids, replay.response) == ([UUID(int=1)], response)
        assert IdempotencyKey.objects.count() == 1


class TestCloneTask:
    @pytest.mark.parametrize("status", ["PENDING", "SCHEDULED", "RUNNING", "SUCCESS", "FAILED", "CANCELLED"])
    def test_makes_a_fresh_task_of_one_in_any_state(self, engine: Engine, status: str) -> None:
        worker = engine.worker()
        definition: dict[str, Any] = {
            "payload": {"sleepDurationMs": 9}, "max_retries": 5, "queue": "q", "priority": 3, "timeout_ms": 77,
            "concurrency_key": "k", "retry": {"backoff": "fixed"}, "on_worker_lost": "fail",
        }  # fmt: skip
        source = engine.create(**definition, expires_at=FUTURE, correlation_id="old")
        if status == "CANCELLED":
            services.cancel_task(source, actor="me")
        elif status != "PENDING":
            engine.assign()
            if status != "SCHEDULED":
                [attempt] = engine.start(worker)
                if status in ("SUCCESS", "FAILED"):
                    engine.finish(worker, attempt, SUCCEEDED if status == "SUCCESS" else FAILED_FOR_GOOD)
        assert engine.task(source).status == status
        clone = services.clone_task(source, actor="me")
        assert {name: getattr(clone, name) for name in definition} == definition
        assert (clone.status, clone.attempt, clone.version, clone.created_by) == ("PENDING", 0, 1, "me")
        assert clone.pk != source
        assert clone.expires_at is None
        assert clone.correlation_id != "old"
        assert engine.task(source).status == status

    def test_belongs_to_no_schedule_while_a_retry_still_does(self, engine: Engine) -> None:
        schedule_id, at = uuid4(), datetime(2026, 1, 1, tzinfo=UTC)
        source = engine.create()
        Task.objects.filter(pk=source).update(schedule_id=schedule_id, scheduled_for=at)
        clone = services.clone_task(source, actor="me")
        services.cancel_task(source, actor="me")
        retried = services.retry_task(source, actor="me")
        assert (clone.schedule_id, clone.scheduled_for) == (None, None)
        assert (retried.schedule_id, retried.scheduled_for) == (schedule_id, at)

    def test_refuses_an_unknown_task(self, engine: Engine) -> None:
        with pytest.raises(TaskNotFound):
            services.clone_task(UUID(int=5), actor="me")


class TestPauseQueue:
    def test_takes_back_what_has_not_started(self, engine: Engine) -> None:
        worker = engine.worker(slots=4)
        tasks = engine.create_many(3)
        other = engine.create(queue="other")
        engine.assign()
        started = engine.start(worker, limit=1)[0].task_id
        queue = pause_queue("default", actor="ops", reason="broken")
        assert (queue.pause_reason, queue.paused_by) == ("broken", "ops")
        assert queue.paused_at is not None
        assert Counter(engine.statuses(tasks)) == {"RUNNING": 1, "PENDING": 2}
        assert engine.task(started).status in ("RUNNING", "SCHEDULED")
        assert engine.task(other).worker_id == worker
        assert AuditEvent.objects.filter(action="queue.paused", target="queue:default", reason="broken").exists()

    def test_may_be_repeated_and_changed(self, engine: Engine) -> None:
        first = pause_queue("q", actor="ops")
        second = pause_queue("q", actor="ops", until=FUTURE)
        assert (first.paused_until, second.paused_until) == (None, FUTURE)
        assert second.version == first.version + 1

    def test_stops_no_creation(self, engine: Engine) -> None:
        pause_queue("default", actor="ops")
        assert engine.task(engine.create()).status == "PENDING"

    def test_waits_for_the_running_pass_and_ends_before_the_next(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        engine.worker()
        engine.create()
        with transaction.atomic():
            pause_queue("default", actor="ops")
            assert not engine.assign().held
        assert not engine.assign().moved


class TestResumeQueue:
    def test_clears_the_pause_and_wakes_the_schedulers(self, engine: Engine, woken: WakeUps) -> None:
        pause_queue("q", actor="ops", reason="broken", until=FUTURE)
        queue = resume_queue("q", actor="ops")
        assert (queue.paused_at, queue.paused_until, queue.pause_reason, queue.paused_by) == (None, None, "", "")
        assert woken == ["schedulers"]
        assert AuditEvent.objects.filter(action="queue.resumed").count() == 1

    def test_does_nothing_to_a_queue_that_is_not_paused(self, engine: Engine, woken: WakeUps) -> None:
        pause_queue("q", actor="ops")
        version = resume_queue("q", actor="ops").version
        assert resume_queue("q", actor="ops").version == version
        assert AuditEvent.objects.filter(action="queue.resumed").count() == 1

    def test_knows_no_queue_that_nobody_configured(self, engine: Engine) -> None:
        with pytest.raises(Queue.DoesNotExist):
            resume_queue("q", actor="ops")


class TestWakeUps:
    """Hints go out after the commit, to whoever has something to do."""

    def test_tell_a_worker_that_a_task_of_its_own_shall_stop(self, engine: Engine, woken: WakeUps) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        woken.clear()
        with transaction.atomic():
            services.cancel_task(attempt.task_id, actor="me")
            assert woken == []
        assert woken == [f"stop {worker}"]

    @pytest.mark.parametrize("change", ["edit", "retry"])
    def test_tell_schedulers_of_a_task_that_is_pending_again(self, engine: Engine, woken: WakeUps, change: str) -> None:
        task_id = engine.create()
        if change == "retry":
            services.cancel_task(task_id, actor="me")
        woken.clear()
        if change == "edit":
            services.edit_task(task_id, {"priority": 1}, actor="me")
        else:
            services.retry_task(task_id, actor="me")
        assert woken == ["schedulers"]

    def test_tell_schedulers_that_a_cancelled_task_made_room(self, engine: Engine, woken: WakeUps) -> None:
        """Its slot and its concurrency key are free at once; waiting tasks need not wait for the next poll."""
        worker = engine.worker(slots=1)
        task_id = engine.assigned(worker, concurrency_key="k")
        woken.clear()
        services.cancel_task(task_id, actor="me")
        assert woken == ["schedulers"]


class TestOwnCorrelationId:
    """Where none was sent the column is NULL; whoever writes one down elsewhere writes the task's id."""

    def test_is_in_the_events_of_every_statement_and_in_endings(self, engine: Engine) -> None:
        worker = engine.worker(slots=9)
        ended, given_back = engine.running(worker), engine.assigned(worker)
        assert endings([ended])[0].correlation_id == ended.task_id.hex
        hand_back_assigned(engine.session, reason="test", worker_id=worker)
        expired = engine.create(expires_at=datetime.now(UTC) + timedelta(days=1))
        engine.session.execute("UPDATE tasks SET expires_at = now() WHERE id = %s", [expired])
        assert expire_tasks(engine.session) == 1
        cancelled = engine.create()
        parameters = {"ids": [cancelled], "actors": ["test"], "reason": "test"}
        engine.session.rows("cancel_tasks", parameters)
        lost = engine.assigned(worker)
        engine.lose(worker)
        written = set(AuditEvent.objects.exclude(task_id=None).values_list("task_id", "correlation_id"))
        assert written >= {(task_id, task_id.hex) for task_id in (given_back, expired, cancelled, lost)}
