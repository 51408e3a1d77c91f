"""Queues that take no more than so many waiting tasks: what counts, who is refused by it, and what it costs others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from flow_app.queues import edit_queue, pause_queue
from schedules_app.firing import fire_due
from schedules_app.firing_rules import FireState
from schedules_app.manual_runs import backfill_schedule, trigger_schedule
from tasks_app import bounds, services
from tasks_app.bounds import EACH_TIME, Full, QueueFull, admit
from tasks_app.fields import NewTask
from tasks_app.models import Task
from tests.support.engine import FAILED, SUCCEEDED, Engine, in_seconds
from tests.support.schedules import ledger, make_schedule, move_back, states, tasks_of

#: Counted on each call, and kept in mind.
SMALL, LARGE = 2, EACH_TIME + 1


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known from another test."""
    monkeypatch.setattr(bounds, "_counts", bounds.Counts())
    monkeypatch.setattr(bounds, "_paces", {})
    monkeypatch.setattr(bounds, "SLOW", float("inf"))


def bound(most: int | None, queue: str = "default") -> None:
    edit_queue(queue, {"maxWaiting": most}, actor="test")


def bound_keys(most: int | None, queue: str = "default") -> None:
    edit_queue(queue, {"perKey": {"maxWaiting": most}}, actor="test")


@contextmanager
def refused() -> Iterator[Any]:
    with pytest.raises(QueueFull) as raised:
        yield raised


def waiting(queue: str = "default", key: str | None = None, most: int = 100) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT waiting_tasks(%s, %s, %s)", [queue, key, most])
        return int(cursor.fetchone()[0])


class TestWaitingTasks:
    def test_are_those_no_worker_has_whatever_they_wait_for(self, engine: Engine) -> None:
        worker = engine.worker(slots=2)
        engine.create_many(2)
        engine.assign()
        engine.start(worker, limit=1)
        assert waiting() == 0
        engine.create(schedule_at=in_seconds(3600))
        engine.create(required_labels={"gpu": "a"})
        engine.create(required_labels={"gpu": "b"}, concurrency_key="k")
        suspect, parked, gated, keyed, other = (
            engine.create(), engine.create(concurrency_key="k"), engine.create(),
            engine.create(concurrency_key="k"), engine.create(queue="other"),
        )  # fmt: skip
        Task.objects.filter(pk=suspect).update(crash_count=1)
        Task.objects.filter(pk=parked).update(gate=1)
        Task.objects.filter(pk=gated).update(gate=5)
        assert engine.task(keyed).gate == engine.task(other).gate == 0
        assert (waiting(), waiting(key="k"), waiting("other"), waiting("none")) == (7, 3, 1, 0)

    def test_are_counted_to_the_bound_and_no_further(self, engine: Engine) -> None:
        engine.create_many(5)
        engine.create_many(3, concurrency_key="k")
        assert [waiting(most=most) for most in (0, 3, 7, 8, 9)] == [0, 3, 7, 8, 8]
        assert waiting(key="k", most=2) == 2

    def test_are_read_by_index_whatever_the_planner_believes(self, engine: Engine) -> None:
        engine.create_many(2000, queue="few")
        engine.session.execute("ANALYZE tasks")
        Task.objects.update(queue="many")
        engine.create_many(3, queue="few")
        scanned = "SELECT pg_stat_get_xact_tuples_returned('tasks'::regclass)"
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(scanned)
            before = cursor.fetchone()
            assert waiting("few") == 3
            cursor.execute(scanned)
            assert cursor.fetchone() == before, "it scanned the table"


class TestLookAtBounds:
    def test_finds_those_that_hold(self, engine: Engine) -> None:
        bound(SMALL)
        bound_keys(1, "keyed")
        engine.create(queue="keyed", concurrency_key="k")
        names = [("default", None), ("default", "k"), ("keyed", None), ("keyed", "k"), ("keyed", "l"), ("none", "k")]
        with connection.cursor() as cursor:
            found = admit(cursor, [*names, ("default", "z")])
        assert found == [None, None, None, Full("keyed", "k", 1, 1), None, None, Full("default", None, 2, 2)]

    def test_leaves_the_keys_of_schedules_alone(self, engine: Engine) -> None:
        bound_keys(0)
        with connection.cursor() as cursor:
            assert admit(cursor, [("default", "schedule:1")]) == [None]


class TestCreateOne:
    @pytest.mark.parametrize("most", [SMALL, LARGE])
    def test_is_refused_by_a_full_queue(self, engine: Engine, most: int) -> None:
        engine.create_many(most)
        bound(most)
        with refused() as raised:
            engine.create()
        assert raised.value.full == Full("default", None, most, most)
        assert raised.value.retry_after == 60
        engine.create(queue="other")
        bound(most + 1)
        engine.create()
        with refused():
            engine.create()
        bound(None)
        engine.create()
        assert Task.objects.count() == most + 3

    def test_of_zero_takes_nothing_new(self, engine: Engine) -> None:
        bound(0)
        with refused() as raised:
            engine.create()
        assert raised.value.retry_after == 60

    def test_has_room_again_when_a_worker_has_one(self, engine: Engine) -> None:
        engine.worker(slots=1)
        bound(1)
        engine.create()
        with refused():
            engine.create()
        engine.assign()
        engine.create()
        with refused():
            engine.create()

    def test_is_refused_by_a_full_key_and_no_other(self, engine: Engine) -> None:
        bound_keys(1)
        engine.create(concurrency_key="k")
        with refused() as raised:
            engine.create(concurrency_key="k")
        assert raised.value.full == Full("default", "k", 1, 1)
        engine.create(concurrency_key="l")
        engine.create()
        engine.create()

    def test_leaves_nothing_of_what_was_refused(self, engine: Engine) -> None:
        bound(0)
        with refused():
            engine.create(required_labels={"gpu": "a"})
        with refused():
            engine.create(concurrency_key="k", on_busy="skip")
        assert not Task.objects.exists()

    def test_meets_what_is_open_before_it_is_refused(self, engine: Engine) -> None:
        first = engine.create(unique_key="u", concurrency_key="k")
        bound(0)
        assert engine.create(unique_key="u", concurrency_key="k") == first
        assert engine.create(unique_key="u", concurrency_key="k", on_duplicate="replace", priority=3) == first
        assert engine.task(first).priority == 3
        assert engine.create(concurrency_key="k", on_busy="skip") == first
        with refused():
            engine.create(unique_key="v")

    def test_that_makes_others_give_way_has_their_room(self, engine: Engine) -> None:
        first = engine.create(concurrency_key="k")
        bound(1)
        second = engine.create(concurrency_key="k", on_busy="cancel_running")
        assert [engine.task(each).status for each in (first, second)] == ["CANCELLED", "PENDING"]

    def test_makes_no_trip_more_where_nothing_is_bounded(self, engine: Engine) -> None:
        bound(0, "other")
        bounds.unbounded.forget("default")
        for asks in (True, False):
            with CaptureQueriesContext(connection) as queries:
                engine.create()
            assert ["is_unbounded" in each["sql"] for each in queries] == [asks]

    def test_sees_a_bound_that_another_process_sets_within_a_second(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine.create()
        engine.session.execute("INSERT INTO queues (name, max_waiting) VALUES ('default', 0)")
        now = time.monotonic() + bounds.UNBOUNDED_FOR
        monkeypatch.setattr(bounds.time, "monotonic", lambda: now)
        with refused():
            engine.create()

    def test_keeps_a_count_in_mind_that_took_long(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bounds, "SLOW", 0.0)
        monkeypatch.setattr(bounds, "HOLDS", 1e9)
        bound(SMALL)
        bound_keys(1)
        engine.create(concurrency_key="k")
        Task.objects.all().delete()
        with refused() as raised:
            engine.create(concurrency_key="k")
        assert raised.value.full == Full("default", "k", 1, 1)
        engine.create(concurrency_key="l")
        with refused() as raised:
            engine.create(concurrency_key="l")
        assert raised.value.full == Full("default", None, SMALL, SMALL)

    def test_under_a_large_bound_is_counted_now_and_then(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        """What this process lets in meanwhile is added; others are seen with the next count."""
        monkeypatch.setattr(bounds, "HOLDS", 1e9)
        bound(LARGE)
        engine.create_many(LARGE - 1)
        with CaptureQueriesContext(connection) as queries:
            engine.create()
        assert (
            len([each for each in queries if "waiting_tasks" in each["sql"]]) == 1
        )  # with the look, which counts none
        with refused() as raised:
            engine.create()
        assert raised.value.full.waiting == LARGE
        Task.objects.all().delete()
        with refused():
            engine.create()
        bound(LARGE + 1)
        engine.create()


class TestCreateMany:
    def test_stores_the_first_as_far_as_there_is_room(self, engine: Engine) -> None:
        engine.create()
        bound(3)
        new = [NewTask(type="DUMMY", queue=queue) for queue in ("default", "other", "default", "default", "default")]
        stored = services.store_tasks(new, created_by="test")
        assert stored.full == dict.fromkeys((3, 4), Full("default", None, 3, 3))
        assert Task.objects.filter(pk__in=stored.ids).count() == 3

    def test_gives_those_whose_unique_key_is_taken_no_room(self, engine: Engine) -> None:
        first = engine.create(unique_key="u")
        bound(3)
        new = [NewTask(type="DUMMY", unique_key=key) for key in ("u", "v", "v", None, "u")]
        stored = services.store_tasks(new, created_by="test")
        assert (stored.existing, stored.full) == ({0, 2, 4}, {})
        assert stored.ids[0] == stored.ids[4] == first
        assert waiting() == 3

    def test_is_all_or_none_for_python(self, engine: Engine) -> None:
        bound(3)
        with refused() as raised:
            engine.create_many(5)
        assert raised.value.full == Full("default", None, 3, 3)
        assert not Task.objects.exists()


class TestChanges:
    def test_retry_is_refused_when_somebody_asks_for_it(self, engine: Engine) -> None:
        worker = engine.worker()
        attempt = engine.running(worker)
        engine.finish(worker, attempt, SUCCEEDED)
        bound(0)
        with refused():
            services.retry_task(attempt.task_id, actor="me")
        assert engine.task(attempt.task_id).status == "SUCCESS"

    def test_retries_by_policy_and_hand_backs_are_not(self, engine: Engine) -> None:
        worker = engine.worker()
        failing = engine.running(worker)
        engine.create()
        engine.assign()
        bound(0)
        assert engine.finish(worker, failing, FAILED) == "PENDING"
        pause_queue("default", actor="me")
        assert waiting() == 2

    def test_an_edit_that_moves_it_there_is_refused(self, engine: Engine) -> None:
        task_id = engine.create(queue="other")
        bound(0)
        bound(0, "other")
        with refused() as raised:
            services.edit_task(task_id, {"queue": "default"}, actor="me")
        assert raised.value.full.queue == "default"
        services.edit_task(task_id, {"queue": "other", "priority": 3}, actor="me")
        assert engine.task(task_id).priority == 3

    def test_a_clone_is_refused(self, engine: Engine) -> None:
        task_id = engine.create()
        bound(1)
        with refused():
            services.clone_task(task_id, actor="me")


class TestSchedules:
    def test_miss_a_slot_for_which_there_is_no_room(self, engine: Engine) -> None:
        full, other = make_schedule(), make_schedule(task={"type": "DUMMY", "payload": {}, "queue": "other"})
        bound(0)
        report = fire_due(engine.session)
        assert (states(full), states(other)) == (["MISSED"], ["FIRED"])
        [fire] = ledger(full)
        assert (fire.task_id, fire.note) == (None, "queue default is full: 0 tasks wait, and its maxWaiting is 0")
        assert (report.tasks, report.states[FireState.MISSED]) == (1, 1)
        full.refresh_from_db()
        assert full.last_fire_at is None

    def test_run_the_first_of_several_slots(self, engine: Engine) -> None:
        schedule = make_schedule(due=3, overlap="allow", misfire_policy="run_all")
        bound(1)
        fire_due(engine.session)
        assert states(schedule).count(FireState.MISSED) == 2
        assert len(tasks_of(schedule)) == 1

    def test_let_nothing_make_way_for_a_task_that_is_not_made(self, engine: Engine) -> None:
        schedule = make_schedule(overlap="cancel_running")
        fire_due(engine.session)
        [task] = tasks_of(schedule)
        bound(1)
        move_back([schedule.pk], timedelta(seconds=61))
        fire_due(engine.session)
        assert engine.task(task.pk).status == "PENDING"
        assert FireState.MISSED in states(schedule)

    def test_are_triggered_and_backfilled_as_far_as_all_fit(self, engine: Engine) -> None:
        schedule = make_schedule(due=3, misfire_policy="skip", overlap="allow")
        fire_due(engine.session)
        bound(0)
        with refused():
            trigger_schedule(schedule.pk, actor="me")
        before = len(ledger(schedule))
        now = timezone.now()
        with refused():
            backfill_schedule(schedule.pk, since=now - timedelta(hours=1), until=now, actor="me")
        assert len(ledger(schedule)) == before


class TestMeasurePace:
    def test_counts_what_ended_lately_in_the_queue(self, engine: Engine) -> None:
        worker = engine.worker(slots=9)
        engine.create_many(3)
        engine.create_many(2, queue="other")
        while engine.assign().moved:
            pass
        for attempt in engine.start(worker):
            engine.finish(worker, attempt, SUCCEEDED)
        with connection.cursor() as cursor:
            assert bounds._measure_pace(cursor, "default") == (3, 60.0)
        bound(1)
        engine.create()
        with refused() as raised:
            engine.create()
        assert raised.value.retry_after == 20
