"""Tasks that take several slots of their worker: what fits beside what, and for whom workers are kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from flow_app import assignment
from flow_app.queues import edit_queue, pause_queue
from flow_app.reserving import PATIENCE
from flow_app.survey import survey_due
from flow_app.why import why
from tasks_app import creating, services
from tasks_app.fields import NewTask
from tasks_app.models import Task, TaskNeeds
from tasks_app.new_tasks import InvalidTask
from tasks_app.sessions import Session
from tests.support.engine import SUCCEEDED, Engine
from tests.support.races import transaction

OpenSession = Callable[[], Session]
LONG = timedelta(seconds=-PATIENCE - 1)


def taken(engine: Engine, worker: UUID) -> int:
    [(found,)] = engine.session.fetch(
        "SELECT coalesce(sum(slots), 0)::int FROM tasks WHERE worker_id = %s AND finished_at IS NULL", [worker]
    )
    return int(found)


def waits_long(engine: Engine, task_id: UUID) -> UUID:
    engine.move(task_id, run_at=LONG)
    return task_id


def end_one(engine: Engine, worker: UUID, attempts: list[Any]) -> None:
    engine.finish(worker, attempts.pop(), SUCCEEDED)


class TestSlots:
    def test_of_a_workers_tasks_are_no_more_than_its_own(self, engine: Engine) -> None:
        worker = engine.worker(slots=16)
        costly = [engine.create(slots=12, priority=1), engine.create(slots=5, priority=1)]
        engine.create_many(9)
        while engine.assign().moved:
            assert taken(engine, worker) <= 16
        assert engine.statuses(costly) == ["SCHEDULED", "PENDING"]
        assert taken(engine, worker) == 16
        assert engine.violations() == {}

    def test_are_never_those_of_prefetch(self, engine: Engine) -> None:
        worker = engine.worker(slots=4, prefetch=8)
        costly = [engine.create(slots=3, priority=1) for _ in range(2)]
        engine.create_many(9)
        while engine.assign().moved:
            pass
        assert sorted(engine.statuses(costly)) == ["PENDING", "SCHEDULED"]
        assert taken(engine, worker) == 12

    def test_start_first_and_together_take_no_more_than_are_free(self, engine: Engine) -> None:
        worker = engine.worker(slots=4, prefetch=4)
        costly = engine.create(slots=3)
        engine.create_many(5)
        engine.assign()
        assert taken(engine, worker) == 8
        for task_id in Task.objects.filter(slots=1).values_list("pk", flat=True):
            engine.session.execute("UPDATE tasks SET priority = 9 WHERE id = %s", [task_id])
        assert engine.start(worker, limit=2) == [], "what does not fit is waited for, not overtaken"
        started = engine.start(worker, limit=4)
        assert [attempt.slots for attempt in started] == [1, 3]
        assert costly in [attempt.task_id for attempt in started]
        assert engine.violations() == {}

    def test_go_to_the_worker_where_they_leave_the_fewest(self, engine: Engine) -> None:
        engine.worker(slots=16)
        small = engine.worker(slots=8)
        assert engine.assigned(small, slots=7)

    def test_that_a_worker_gives_up_are_free_again(self, engine: Engine) -> None:
        worker, other = engine.worker(slots=4), engine.worker(slots=2)
        first, second = engine.create(slots=4), engine.create(slots=4)
        engine.assign()
        assert engine.statuses([first, second]) == ["SCHEDULED", "PENDING"]
        assignment.hand_back_assigned(engine.session, worker_id=worker, reason="it drains")
        services.cancel_task(first, actor="me")
        engine.assign()
        assert engine.owner_of(second) == worker
        engine.lose(worker)
        engine.assign()
        assert engine.owner_of(second) is None
        assert taken(engine, other) == 0

    def test_are_those_of_a_clone_and_of_a_retry(self, engine: Engine) -> None:
        worker = engine.worker(slots=4)
        attempt = engine.running(worker, slots=4)
        engine.finish(worker, attempt, SUCCEEDED)
        clone = services.clone_task(attempt.task_id, actor="me")
        services.retry_task(attempt.task_id, actor="me")
        assert clone.slots == 4
        engine.assign()
        assert taken(engine, worker) == 4
        assert engine.violations() == {}

    def test_may_be_changed_until_the_task_starts(self, engine: Engine) -> None:
        worker = engine.worker(slots=4)
        task_id = engine.assigned(worker)
        services.edit_task(task_id, {"slots": 5}, actor="me")
        assert not engine.assign().assigned
        assert engine.violations() == {}
        services.edit_task(task_id, {"slots": 4}, actor="me")
        assert engine.assign().assigned == 1
        services.edit_task(task_id, {"slots": 1}, actor="me")
        assert engine.task(task_id).needs_id is None
        assert engine.assign().assigned == 1
        engine.start(worker)
        with pytest.raises(Exception, match="RUNNING"):
            services.edit_task(task_id, {"slots": 2}, actor="me")

    def test_of_one_that_is_replaced_are_the_new_ones(self, engine: Engine) -> None:
        engine.worker(slots=4)
        task_id = engine.create(unique_key="u", slots=5)
        engine.create(unique_key="u", slots=4, on_duplicate="replace")
        engine.assign()
        assert engine.task(task_id).status == "SCHEDULED"
        assert engine.violations() == {}

    def test_and_labels_are_both_needed(self, engine: Engine) -> None:
        engine.worker(slots=8)
        engine.worker(slots=2, labels={"gpu": "a"})
        task_id = engine.create(slots=4, required_labels={"gpu": "a"})
        assert not engine.assign().moved
        large = engine.worker(slots=4, labels={"gpu": "a"})
        engine.assign()
        assert engine.owner_of(task_id) == large

    def test_alone_use_up_no_sets_of_labels(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(creating, "MOST_NEEDS", 1)
        many = [NewTask(type="DUMMY", slots=number) for number in range(2, 9)]
        services.create_tasks(many, created_by="me")
        assert TaskNeeds.objects.count() == 7
        services.create_tasks([NewTask(type="DUMMY", required_labels={"gpu": "a"})], created_by="me")
        with pytest.raises(InvalidTask):
            services.create_tasks([NewTask(type="DUMMY", required_labels={"gpu": "a"}, slots=2)], created_by="me")

    @pytest.mark.parametrize("slots", [0, -1, 1001, 32768])
    def test_are_bounded_by_the_database(self, engine: Engine, slots: int) -> None:
        task_id = engine.create()
        with pytest.raises(psycopg.Error, match=r"tasks_ranges|smallint"):
            engine.session.execute("UPDATE tasks SET slots = %s WHERE id = %s", [slots, task_id])

    def test_of_what_a_worker_sits_on_must_be_free_elsewhere(self, engine: Engine) -> None:
        worker = engine.worker(slots=4)
        engine.assigned(worker, slots=4)
        other = engine.worker(slots=4)
        engine.running(other)
        engine.session.execute("UPDATE tasks SET assigned_at = now() - interval '1 minute'")
        assert assignment.hand_back_stale(engine.session) == 0
        engine.worker(slots=4)
        assert assignment.hand_back_stale(engine.session) == 1


class Flood:
    """Workers of which every slot is taken by a small task, with more of them due, for an hour, than could ever run."""

    def __init__(self, engine: Engine, *slots: int, queue: str = "default", prefetch: int = 0) -> None:
        self.engine = engine
        self.workers = [engine.worker(slots=number, prefetch=prefetch) for number in slots]
        self.slots = dict(zip(self.workers, slots, strict=True))
        small = engine.create_many(3 * sum(slots) + 100, queue=queue)
        engine.session.execute("UPDATE tasks SET run_at = now() - interval '1 hour' WHERE id = ANY(%s)", [small])
        self.pass_over()
        self.running = {worker: engine.start(worker, limit=self.slots[worker]) for worker in self.workers}

    def pass_over(self, session: Session | None = None) -> None:
        session = session or self.engine.session
        while assignment.assign_due_tasks(session, survey_due(session)).moved:
            pass

    def end(self, worker: UUID, number: int, session: Session | None = None) -> None:
        """So many small tasks end, one after the other, and each time a pass is made."""
        for _ in range(number):
            attempts = self.running[worker]
            self.engine.finish(worker, attempts.pop(0), SUCCEEDED)
            self.pass_over(session)
            free = self.slots[worker] - sum(attempt.slots for attempt in attempts)
            attempts += self.engine.start(worker, limit=free)


class TestReserving:
    def test_lets_a_task_of_twelve_slots_start_when_twelve_small_ones_have_ended(self, engine: Engine) -> None:
        flood = Flood(engine, 16, prefetch=8)
        [worker] = flood.workers
        costly = waits_long(engine, engine.create(slots=12))
        flood.end(worker, 19)
        assert engine.statuses([costly]) == ["PENDING"]
        flood.end(worker, 1)
        assert engine.statuses([costly]) == ["RUNNING"]
        assert taken(engine, worker) == 16 + 8
        assert engine.violations() == {}

    def test_begins_when_it_has_waited(self, engine: Engine) -> None:
        flood = Flood(engine, 4)
        [worker] = flood.workers
        costly = engine.create(slots=2)
        flood.end(worker, 9)
        assert taken(engine, worker) == 4
        waits_long(engine, costly)
        flood.end(worker, 1)
        assert taken(engine, worker) == 3

    def test_is_gone_on_with_by_another_scheduler(self, engine: Engine, open_session: OpenSession) -> None:
        flood, sessions = Flood(engine, 4), [open_session(), open_session()]
        [worker] = flood.workers
        costly = waits_long(engine, engine.create(slots=4))
        for number in range(4):
            flood.end(worker, 1, sessions[number % 2])
        assert engine.owner_of(costly) == worker

    def test_ends_with_the_task(self, engine: Engine) -> None:
        flood = Flood(engine, 4)
        [worker] = flood.workers
        costly = waits_long(engine, engine.create(slots=4))
        flood.end(worker, 2)
        assert taken(engine, worker) == 2
        services.cancel_task(costly, actor="me")
        flood.pass_over()
        assert taken(engine, worker) == 4

    def test_serves_the_one_that_has_waited_longest_and_leaves_none_waiting_for_the_other(self, engine: Engine) -> None:
        flood = Flood(engine, 4, 4)
        first, second = engine.create(slots=4), engine.create(slots=3)
        waits_long(engine, second)
        engine.move(first, run_at=2 * LONG)
        for worker in flood.workers:
            flood.end(worker, 2)
        assert sorted(taken(engine, worker) for worker in flood.workers) == [2, 4], "half of them are kept for nobody"
        kept = min(flood.workers, key=lambda worker: taken(engine, worker))
        flood.end(kept, 2)
        assert engine.owner_of(first) == kept
        assert engine.owner_of(second) is None
        engine.finish(kept, engine.attempt_of(first), SUCCEEDED)
        flood.pass_over()
        assert engine.owner_of(second) == kept

    def test_keeps_more_workers_the_longer_it_waits(self, engine: Engine) -> None:
        flood = Flood(engine, 4, 4, 4, 4)
        costly = waits_long(engine, engine.create(slots=4))
        for worker in flood.workers:
            flood.end(worker, 1)
        assert sorted(taken(engine, worker) for worker in flood.workers) == [3, 4, 4, 4]
        engine.move(costly, run_at=2 * LONG)
        for worker in flood.workers:
            flood.end(worker, 1)
        assert sum(taken(engine, worker) < 4 for worker in flood.workers) == 2

    def test_lets_small_ones_come_between_two(self, engine: Engine) -> None:
        flood = Flood(engine, 4)
        [worker] = flood.workers
        tasks = [waits_long(engine, engine.create(slots=4)) for _ in range(2)]
        flood.end(worker, 4)
        [running] = [task_id for task_id in tasks if engine.owner_of(task_id)]
        engine.finish(worker, engine.attempt_of(running), SUCCEEDED)
        flood.pass_over()
        assert taken(engine, worker) == 4
        assert "SCHEDULED" not in engine.statuses(tasks)
        engine.session.execute("UPDATE task_needs SET given_at = now() - interval '6 seconds'")
        flood.running[worker] = engine.start(worker, limit=4)
        flood.end(worker, 4)
        assert "RUNNING" in engine.statuses(tasks)

    def test_does_not_outrank_a_higher_priority_of_its_queue(self, engine: Engine) -> None:
        flood = Flood(engine, 4)
        [worker] = flood.workers
        costly = waits_long(engine, engine.create(slots=4))
        flood.end(worker, 2)
        urgent = engine.create(priority=1)
        flood.pass_over()
        assert engine.owner_of(urgent) == worker
        assert taken(engine, worker) == 3
        flood.end(worker, 2)
        assert engine.owner_of(costly) is None
        flood.end(worker, 1)
        assert engine.owner_of(costly) == worker

    @pytest.mark.parametrize("limit", ["queue", "key", "pause", "none"])
    def test_is_for_what_nothing_else_keeps_from_starting(self, engine: Engine, limit: str) -> None:
        if limit == "key":
            engine.running(engine.worker(slots=1, queues=["default"]), concurrency_key="k")
        flood = Flood(engine, 4, queue="flood")
        [worker] = flood.workers
        waits_long(engine, engine.create(slots=4, concurrency_key="k"))
        if limit == "queue":
            edit_queue("default", {"maxConcurrency": 0}, actor="me")
        if limit == "pause":
            pause_queue("default", actor="me")
        flood.end(worker, 2)
        assert taken(engine, worker) == (2 if limit == "none" else 4)

    def test_is_for_a_suspect_as_well(self, engine: Engine) -> None:
        [suspect] = engine.suspects({})
        services.edit_task(suspect, {"slots": 4}, actor="me")
        engine.move(suspect, run_at=-LONG)
        flood = Flood(engine, 4)
        [worker] = flood.workers
        engine.move(suspect, run_at=timedelta(seconds=-1))
        flood.end(worker, 2)
        assert (taken(engine, worker), engine.owner_of(suspect)) == (4, None)
        waits_long(engine, suspect)
        flood.end(worker, 3)
        assert (taken(engine, worker), engine.owner_of(suspect)) == (1, None)
        flood.end(worker, 1)
        assert engine.owner_of(suspect) == worker

    def test_is_not_for_what_no_worker_is_large_enough_for(self, engine: Engine) -> None:
        flood = Flood(engine, 4)
        [worker] = flood.workers
        engine.create_many(50, slots=5, priority=100)
        engine.session.execute("UPDATE tasks SET run_at = now() - interval '1 hour' WHERE slots = 5")
        flood.end(worker, 2)
        assert taken(engine, worker) == 4


class TestNoteCostly:
    def test_waits_for_nobody_who_uses_the_row(self, engine: Engine, open_session: OpenSession) -> None:
        worker, other = engine.worker(slots=4), open_session()
        task_id = engine.create(slots=3)
        with transaction(other):
            other.execute("UPDATE task_needs SET used_at = now()")
            engine.assign()
        assert engine.owner_of(task_id) == worker
        assert TaskNeeds.objects.get().given_at is None
        engine.create(slots=1)
        engine.assign()
        assert TaskNeeds.objects.get().given_at is None

    def test_says_when_the_last_one_was_given(self, engine: Engine) -> None:
        engine.assigned(engine.worker(slots=4), slots=3)
        assert TaskNeeds.objects.get().given_at is not None


def said(engine: Engine, task_id: UUID) -> dict[str, str]:
    return {reason.code: reason.detail for reason in why(engine.task(task_id)) if reason.code != "NO_LIVE_SCHEDULER"}


class TestWhy:
    def test_says_at_once_that_no_worker_is_large_enough(self, engine: Engine) -> None:
        engine.worker(slots=16)
        engine.worker(slots=64, queues=["other"])
        engine.worker(slots=8, labels={"gpu": "a"})
        assert said(engine, engine.create(slots=17)) == {
            "NO_WORKER_LARGE_ENOUGH": "it takes 17 slots; the largest of the live workers of queue default has 16"
        }
        labelled = engine.create(slots=17, required_labels={"gpu": "a"})
        assert said(engine, labelled)["NO_WORKER_LARGE_ENOUGH"].endswith("that have its labels has 8")
        assert "NO_WORKER_FOR_LABELS" in said(engine, engine.create(slots=2, required_labels={"gpu": "b"}))

    def test_says_how_many_slots_are_free_where_it_could_run(self, engine: Engine) -> None:
        worker = engine.worker(slots=4)
        engine.running(worker, slots=2)
        engine.worker(slots=2)
        detail = said(engine, engine.create(slots=3))["WORKERS_BUSY"]
        assert detail == (
            "it takes 3 slots, and of the 1 workers of queue default that are large enough none has more than 2 free"
        )

    def test_names_the_task_for_which_free_slots_are_kept(self, engine: Engine) -> None:
        flood = Flood(engine, 4)
        costly = waits_long(engine, engine.create(slots=4))
        flood.end(flood.workers[0], 2)
        small = engine.create(queue="other")
        engine.assign()
        assert f"kept for task {costly}, which takes 4" in said(engine, small)["WORKERS_BUSY"]
        services.cancel_task(costly, actor="me")
        assert said(engine, small) == {}
