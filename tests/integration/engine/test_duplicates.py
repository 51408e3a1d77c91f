"""Unique keys below HTTP: what the index decides among connections, and which states of the first one matter."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import ClassVar

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from access_app.idempotency import Idempotency
from access_app.models import IdempotencyKey
from schedules_app.firing import fire_due
from schedules_app.firing_rules import FireState
from tasks_app import services
from tasks_app.duplicates import DuplicateTask
from tasks_app.fields import NewTask
from tasks_app.models import Task
from tasks_app.new_tasks import InvalidTask
from tasks_app.retention import Retention
from tasks_app.sessions import Session
from tests.support.engine import FAILED, SUCCEEDED, Engine
from tests.support.races import locked, rival, transaction
from tests.support.schedules import ledger, make_schedule, states, tasks_of
from tests.support.waiting import eventually

OpenSession = Callable[[], Session]
RULES = ("return", "reject", "replace", "postpone")


def asked(rule: str = "return", **fields: object) -> NewTask:
    seconds = 60 if rule == "postpone" else None
    return NewTask(type="DUMMY", unique_key="u", on_duplicate=rule, debounce_seconds=seconds, **fields)  # type: ignore[arg-type]


def create(rule: str = "return", **fields: object) -> services.Created:
    return services.create_task(asked(rule, **fields), created_by="me")


class TestIndex:
    def test_refuses_a_second_open_task_whoever_writes_it(self, engine: Engine) -> None:
        first, second = engine.create(unique_key="u"), engine.create(unique_key="v")
        with pytest.raises(IntegrityError, match="tasks_unique_open"):
            Task.objects.filter(pk=second).update(unique_key="u")
        assert engine.task(first).unique_key == "u"

    def test_has_no_entry_for_tasks_without_a_key(self, engine: Engine) -> None:
        engine.create_many(300)
        size = "SELECT pg_relation_size('tasks_unique_open') / 8192"
        pages = engine.session.fetch(size)
        engine.create_many(300)
        assert engine.session.fetch(size) == pages

    @pytest.mark.usefixtures("engine")
    def test_is_what_a_look_for_the_holder_reads(self, engine: Engine) -> None:
        engine.create_many(500)
        engine.create(unique_key="u")
        engine.session.execute("ANALYZE tasks")
        query = "EXPLAIN SELECT * FROM tasks WHERE unique_key IS NOT NULL AND finished_at IS NULL AND queue = 'default'"
        plan = engine.session.fetch(f"{query} AND unique_key = 'u'")
        assert "tasks_unique_open" in str(plan)


class TestStates:
    """A SCHEDULED one is taken back, as by an edit; a RUNNING one is neither replaced nor postponed."""

    @pytest.mark.parametrize("rule", ["replace", "postpone"])
    def test_assigned_goes_back(self, engine: Engine, rule: str) -> None:
        worker = engine.worker()
        task_id = engine.assigned(worker, unique_key="u")
        made = create(rule)
        assert (made.task.pk, made.existing, made.task.status) == (task_id, f"{rule}d", "PENDING")
        assert (made.task.worker_id, made.task.assigned_at) == (None, None)
        assert engine.start(worker) == []
        assert f"task.{made.existing}" in engine.actions(task_id)

    @pytest.mark.parametrize("rule", ["replace", "postpone"])
    def test_running_is_left_alone_and_its_retry_collides_with_nothing(self, engine: Engine, rule: str) -> None:
        worker = engine.worker()
        attempt = engine.running(worker, unique_key="u")
        with pytest.raises(DuplicateTask) as refused:
            create(rule)
        assert refused.value.task_id == attempt.task_id
        assert "runs" in str(refused.value)
        engine.finish(worker, attempt, FAILED)
        assert engine.task(attempt.task_id).status == "PENDING"
        assert create("return").task.pk == attempt.task_id

    @pytest.mark.parametrize("rule", ["return", "reject"])
    def test_running_keeps_its_key(self, engine: Engine, rule: str) -> None:
        attempt = engine.running(engine.worker(), unique_key="u")
        if rule == "reject":
            with pytest.raises(DuplicateTask):
                create(rule)
        else:
            assert create(rule).task.pk == attempt.task_id

    def test_a_replaced_one_begins_anew_but_for_its_fence(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker, unique_key="u")
        engine.finish(worker, attempt, FAILED)
        task = create("replace", payload={"sleepDurationMs": 1}).task
        assert (task.retry_count, task.crash_count, task.attempt) == (0, 0, 1)

    def test_one_that_lost_its_worker_keeps_its_key(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker, unique_key="u")
        engine.lose(worker)
        assert create().task.pk == attempt.task_id

    def test_ended_frees_it(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker, unique_key="u")
        engine.finish(worker, attempt, SUCCEEDED)
        assert create().existing == ""


@pytest.mark.usefixtures("committed_db")
class TestCost:
    def test_of_a_duplicate_is_two_statements(self) -> None:
        create()
        with CaptureQueriesContext(connection) as queries:
            assert create().existing == "returned"
        assert len(queries) == 2


class TestRaces:
    """The second waits for the first to commit or to give up, and then does what it would have done."""

    @pytest.mark.parametrize("rule", RULES)
    def test_meets_the_one_that_was_just_committed(self, engine: Engine, open_session: OpenSession, rule: str) -> None:
        other = open_session()
        task_id = engine.create()
        with transaction(other):
            other.execute("UPDATE tasks SET unique_key = 'u' WHERE id = %s", [task_id])
            second = rival(lambda: create(rule))
            second.waits(engine.session)
        if rule == "reject":
            with pytest.raises(DuplicateTask):
                second.answer()
        else:
            assert second.answer().task.pk == task_id
        assert Task.objects.count() == 1

    @pytest.mark.parametrize("rule", RULES)
    def test_is_made_when_the_first_gives_up(self, engine: Engine, open_session: OpenSession, rule: str) -> None:
        other = open_session()
        task_id = engine.create()
        other.execute("BEGIN")
        other.execute("UPDATE tasks SET unique_key = 'u' WHERE id = %s", [task_id])
        second = rival(lambda: create(rule))
        second.waits(engine.session)
        other.execute("ROLLBACK")
        made = second.answer()
        assert made.existing == ""
        assert made.task.pk != task_id

    @pytest.mark.parametrize("rule", RULES)
    def test_is_made_when_the_first_ends_meanwhile(self, engine: Engine, open_session: OpenSession, rule: str) -> None:
        other = open_session()
        first = engine.create(unique_key="u")
        with transaction(other):
            other.execute("UPDATE tasks SET status = 'CANCELLED', unsuccessful = true, finished_at = now()")
            second = rival(lambda: create(rule))
            second.waits(engine.session)
        made = second.answer()
        assert made.existing == ""
        assert made.task.pk != first

    @pytest.mark.parametrize("rule", ["replace", "postpone"])
    def test_decides_on_the_row_as_it_is_then(self, engine: Engine, open_session: OpenSession, rule: str) -> None:
        """It waits for who holds the row, and finds it running: no started attempt is given another payload."""
        worker = engine.worker()
        task_id = engine.assigned(worker, unique_key="u")
        other = open_session()
        with locked(other, "tasks", "id", task_id, strength="NO KEY UPDATE"):
            second = rival(lambda: create(rule))
            second.waits(engine.session)
            other.execute("UPDATE tasks SET status = 'RUNNING', attempt = 1, started_at = now()")
        with pytest.raises(DuplicateTask):
            second.answer()
        assert engine.task(task_id).version == 2

    def test_two_retries_of_one_key_leave_one_open(self, engine: Engine, open_session: OpenSession) -> None:
        first = engine.create(unique_key="u")
        services.cancel_task(first, actor="me")
        other = open_session()
        with transaction(other):
            other.execute(
                "INSERT INTO tasks (id, created_at, schedule_at, run_at, max_retries, timeout_ms, type, created_by,"
                " unique_key) VALUES (gen_random_uuid(), now(), now(), now(), 0, 1, 'DUMMY', 'x', 'u')"
            )
            retry = rival(lambda: services.retry_task(first, actor="me"))
            retry.waits(engine.session)
        with pytest.raises(DuplicateTask):
            retry.answer()
        assert engine.task(first).status == "CANCELLED"

    def test_many_at_once_take_keys_in_one_order(self, engine: Engine, open_session: OpenSession) -> None:
        """In the order of their items, two calls would each wait for the other."""
        one, two = (NewTask(type="DUMMY", unique_key=key) for key in ("a", "b"))
        other = open_session()
        sql = (
            "INSERT INTO tasks (id, created_at, schedule_at, run_at, max_retries, timeout_ms, type, created_by,"
            " unique_key) VALUES (gen_random_uuid(), now(), now(), now(), 0, 1, 'DUMMY', 'x', %s)"
        )
        with transaction(other):
            other.execute(sql, ["a"])
            call = rival(lambda: services.create_tasks([two, one], created_by="me"))
            call.waits(engine.session)
            other.execute(sql, ["b"])
        assert len(call.answer()) == 2
        assert Task.objects.count() == 2


@pytest.mark.usefixtures("engine")
class TestStoreTasks:
    def test_refuses_what_would_change_another(self) -> None:
        with pytest.raises(InvalidTask, match="onDuplicate"):
            services.create_tasks([asked("replace")], created_by="me")

    def test_stores_none_when_one_is_refused(self, engine: Engine) -> None:
        first = engine.create(unique_key="u")
        with pytest.raises(DuplicateTask) as refused:
            services.create_tasks([NewTask(type="DUMMY"), asked("reject")], created_by="me")
        assert refused.value.task_id == first
        assert Task.objects.count() == 1


class TestSchedules:
    TASK: ClassVar[dict[str, object]] = {"type": "DUMMY", "payload": {}, "uniqueKey": "u"}

    def test_skip_a_slot_whose_key_an_open_task_has(self, engine: Engine) -> None:
        first = engine.create(unique_key="u")
        schedule, plain = make_schedule(task=self.TASK), make_schedule()
        report = fire_due(engine.session)
        assert (states(schedule), states(plain)) == (["SKIPPED_OVERLAP"], ["FIRED"])
        [fire] = ledger(schedule)
        assert (fire.note, fire.task_id) == (f"task {first} is open and has its unique key", None)
        assert (report.tasks, report.states["SKIPPED_OVERLAP"]) == (1, 1)
        schedule.refresh_from_db()
        assert schedule.last_fire_at is None

    def test_make_one_of_several_slots(self, engine: Engine) -> None:
        schedule = make_schedule(task=self.TASK, due=3, overlap="allow", misfire_policy="run_all")
        fire_due(engine.session)
        assert states(schedule).count(FireState.SKIPPED_OVERLAP) == 2
        [task] = tasks_of(schedule)
        assert task.unique_key == "u"
        schedule.refresh_from_db()
        assert schedule.last_fire_at is not None

    def test_wait_for_who_takes_the_key_and_then_skip(self, engine: Engine, open_session: OpenSession) -> None:
        schedule, other, own = make_schedule(task=self.TASK), open_session(), open_session()
        task_id = engine.create(schedule_at=engine.task(engine.create()).run_at + timedelta(days=1))
        with transaction(other):
            other.execute("UPDATE tasks SET unique_key = 'u' WHERE id = %s", [task_id])
            second = rival(lambda: fire_due(own))
            waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            eventually(lambda: engine.session.fetch(waiting))
        second.answer()
        assert states(schedule) == ["SKIPPED_OVERLAP"]


class TestRetention:
    def test_takes_the_key_of_a_request_that_was_answered_with_another_task(self, engine: Engine) -> None:
        first = engine.create(unique_key="u")
        services.create_task(asked(), created_by="me", idempotency=Idempotency("i", b"x" * 32))
        services.cancel_task(first, actor="me")
        assert IdempotencyKey.objects.get().answered_with == first
        Task.objects.filter(pk=first).update(finished_at=engine.task(first).created_at - timedelta(days=100))
        Retention().delete(engine.session)
        assert (Task.objects.count(), IdempotencyKey.objects.count()) == (0, 0)
