"""Limits of concurrency keys above one, and keys that are paused: nothing leaks, nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from access_app.models import AuditEvent
from access_app.refusals import InvalidInput
from access_app.versions import Stale
from flow_app import assignment, opening
from flow_app.models import QueueKey
from flow_app.queue_keys import KeyNotFound, delete_key, key_of, set_key
from flow_app.queues import edit_queue
from flow_app.survey import survey_due
from flow_app.why import why
from tasks_app import services
from tasks_app.models import Task
from tasks_app.sessions import Session
from tasks_app.states import Gate
from tests.support.engine import FAILED, SUCCEEDED, Engine
from tests.support.races import locked, rival, rival_on, transaction

OpenSession = Callable[[], Session]


def per_key(most: int | None) -> None:
    edit_queue("default", {"perKey": {"maxConcurrency": most}}, actor="test")


def one(key: str = "k", **value: object) -> QueueKey:
    return set_key("default", key, value, actor="test")[0]


def owned(key: str = "k") -> int:
    return Task.objects.filter(concurrency_key=key, status__in=["SCHEDULED", "RUNNING"]).count()


def parked(key: str = "k") -> int:
    return Task.objects.filter(concurrency_key=key, status="PENDING", gate=Gate.KEY).count()


def settle(engine: Engine) -> None:
    while engine.assign().moved:
        pass
    assert engine.violations() == {}


class TestLimitsOfKeys:
    def test_let_as_many_run_as_they_say_in_order(self, engine: Engine) -> None:
        per_key(3)
        tasks = engine.create_many(8, concurrency_key="k")
        engine.create_many(2, concurrency_key="other")
        worker = engine.worker(slots=20)
        settle(engine)
        assert engine.statuses(tasks) == ["SCHEDULED"] * 3 + ["PENDING"] * 5
        assert (owned("other"), parked()) == (2, 5)
        order = []
        while attempts := engine.start(worker, limit=1):
            order += [attempt.task_id for attempt in attempts]
            engine.finish(worker, attempts[0], SUCCEEDED)
            settle(engine)
            assert owned() <= 3
        assert [task_id for task_id in order if task_id in tasks] == tasks

    def test_are_those_of_the_queue_unless_the_key_has_its_own(self, engine: Engine) -> None:
        per_key(2)
        one("wide", maxConcurrency=4)
        one("narrow", maxConcurrency=1)
        one("usual", weight=7)
        for key in ("wide", "narrow", "usual"):
            engine.create_many(6, concurrency_key=key)
            engine.create_many(3, concurrency_key=key, queue="elsewhere")
        engine.worker(slots=50, queues=["default"])
        settle(engine)
        assert {key: owned(key) for key in ("wide", "narrow", "usual")} == {"wide": 4, "narrow": 1, "usual": 2}

    def test_of_a_queue_let_no_tasks_of_a_schedule_overlap(self, engine: Engine) -> None:
        """Its key is what its overlap policy relies on; only by its own name it is given another limit."""
        per_key(5)
        key = "schedule:01890000-0000-7000-8000-000000000000"
        engine.worker(slots=9)
        engine.create_many(4, concurrency_key=key)
        settle(engine)
        opening.release_idle_keys(engine.session)
        settle(engine)
        assert owned(key) == 1
        assert "KEY_LIMIT" in {reason.code for reason in why(Task.objects.filter(status="PENDING")[0])}
        one(key, maxConcurrency=2)
        settle(engine)
        assert owned(key) == 2

    def test_hold_over_workers_of_different_queues_in_one_pass(self, engine: Engine) -> None:
        per_key(3)
        engine.worker(slots=2, queues=["default"])
        engine.worker(slots=9)
        engine.create_many(9, concurrency_key="k")
        settle(engine)
        assert owned() == 3

    def test_keep_every_slot_in_use_whatever_ends(self, engine: Engine) -> None:
        per_key(3)
        worker = engine.worker(slots=9)
        engine.create_many(9, concurrency_key="k")
        settle(engine)
        for outcome in (SUCCEEDED, FAILED, SUCCEEDED, FAILED):
            attempts = engine.start(worker) or [engine.attempt_of(Task.objects.filter(status="RUNNING")[0].pk)]
            engine.finish(worker, attempts[0], outcome)
            settle(engine)
            assert owned() == 3

    def test_are_kept_by_the_database_itself(self, engine: Engine) -> None:
        """Should a statement count wrong, the index does not: two tasks cannot have one slot."""
        per_key(2)
        worker = engine.worker(slots=3)
        holders = [engine.assigned(worker, concurrency_key="k") for _ in range(2)]
        third = engine.create(concurrency_key="k")
        assert [engine.task(each).key_slot for each in holders] == [0, 1]
        for slot in (0, 1):
            with pytest.raises(Exception, match="tasks_key_held"):
                engine.session.execute(
                    "UPDATE tasks SET status = 'SCHEDULED', worker_id = %s, key_slot = %s WHERE id = %s",
                    [worker, slot, third],
                )
        with pytest.raises(Exception, match="tasks_key_slot"):
            engine.session.execute(
                "UPDATE tasks SET status = 'SCHEDULED', worker_id = %s, key_slot = NULL WHERE id = %s", [worker, third]
            )

    def test_give_the_lowest_slot_that_is_free(self, engine: Engine) -> None:
        per_key(3)
        worker = engine.worker(slots=9)
        engine.create_many(4, concurrency_key="k")
        settle(engine)
        first, second, _ = engine.start(worker)
        engine.finish(worker, second, SUCCEEDED)
        settle(engine)
        held = Task.objects.filter(status__in=["SCHEDULED", "RUNNING"])
        assert sorted(held.values_list("key_slot", flat=True)) == [0, 1, 2]
        assert engine.task(first.task_id).key_slot == 0

    def test_lowered_let_nothing_new_start_until_they_hold(self, engine: Engine) -> None:
        per_key(3)
        worker = engine.worker(slots=9)
        engine.create_many(6, concurrency_key="k")
        settle(engine)
        attempts = engine.start(worker)
        per_key(1)
        for attempt in attempts:
            settle(engine)
            assert Task.objects.filter(status="SCHEDULED").count() == 0
            engine.finish(worker, attempt, SUCCEEDED)
        settle(engine)
        assert (owned(), parked()) == (1, 2)

    def test_lowered_take_back_what_has_not_started(self, engine: Engine) -> None:
        per_key(3)
        worker = engine.worker(slots=9)
        engine.create_many(3, concurrency_key="k")
        settle(engine)
        engine.start(worker, limit=1)
        per_key(2)
        assert owned() == 1
        settle(engine)
        assert owned() == 2

    @pytest.mark.parametrize("raise_it", [lambda: per_key(4), lambda: one(maxConcurrency=4)], ids=["queue", "key"])
    def test_raised_let_the_next_ones_start_at_once(self, engine: Engine, raise_it: Callable[[], object]) -> None:
        engine.worker(slots=9)
        tasks = engine.create_many(6, concurrency_key="k")
        settle(engine)
        assert (owned(), parked()) == (1, 5)
        raise_it()
        settle(engine)
        assert (owned(), parked()) == (4, 2)
        assert engine.statuses(tasks)[:4] == ["SCHEDULED"] * 4

    def test_end_with_the_rule(self, engine: Engine) -> None:
        per_key(3)
        one(maxConcurrency=5)
        engine.worker(slots=9)
        engine.create_many(9, concurrency_key="k")
        settle(engine)
        assert owned() == 5
        delete_key("default", "k", actor="test")
        settle(engine)
        assert owned() == 3
        per_key(None)
        settle(engine)
        assert owned() == 1

    def test_survive_the_loss_of_a_worker(self, engine: Engine) -> None:
        per_key(2)
        worker = engine.worker(slots=9)
        engine.create_many(5, concurrency_key="k")
        settle(engine)
        engine.start(worker)
        engine.kill(worker)
        for _ in range(2):
            engine.worker(slots=9)
        settle(engine)
        assert owned() == 2
        engine.recover()
        settle(engine)
        assert owned() == 2

    def test_a_release_that_was_lost_is_made_up_for_as_often_as_there_is_room(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        per_key(2)
        worker = engine.worker(slots=9)
        tasks = engine.create_many(4, concurrency_key="k")
        settle(engine)
        attempts = engine.start(worker)
        with locked(open_session(), "tasks", "id", tasks[2]), locked(open_session(), "tasks", "id", tasks[3]):
            for attempt in attempts:
                engine.finish(worker, attempt, SUCCEEDED)
        assert parked() == 2
        opening.release_idle_keys(engine.session)
        settle(engine)
        assert owned() == 2

    def test_a_task_that_is_not_due_keeps_nobody_from_being_released(self, engine: Engine) -> None:
        """It comes first in its line by its priority, but not for a while."""
        engine.create(concurrency_key="k", priority=9, schedule_at=None)
        Task.objects.update(run_at="2100-01-01T00:00:00Z")
        stranded = engine.create(concurrency_key="k")
        Task.objects.filter(pk=stranded).update(gate=Gate.KEY)
        opening.release_idle_keys(engine.session)
        assert engine.task(stranded).gate == Gate.OPEN


class TestRaces:
    def test_an_end_beside_a_pass_that_parks_leaves_no_slot_empty(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """One of two holders is ending while the pass looks: what waits must not be parked behind the other."""
        per_key(2)
        worker = engine.worker(slots=9)
        attempts = [engine.running(worker, concurrency_key="k") for _ in range(2)]
        engine.create(concurrency_key="k")
        finishing = open_session()
        with transaction(finishing):
            Engine(finishing).finish(worker, attempts[1], SUCCEEDED)
            assert not engine.assign().moved
        settle(engine)
        assert owned() == 2

    def test_a_pass_that_has_not_seen_a_lower_limit_cannot_commit_after_it(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        worker = engine.worker(slots=9)
        engine.create_many(5, concurrency_key="k")
        per_key(3)
        passing = open_session()
        survey = survey_due(passing)
        with locked(open_session(), "worker_heartbeats", "worker_id", worker):
            scheduler = rival_on(passing, lambda session: assignment.assign_due_tasks(session, survey))
            scheduler.waits(engine.session)
            lowering = rival(lambda: one(maxConcurrency=1))
            lowering.waits(engine.session)
        assert scheduler.answer().assigned == 3
        lowering.answer()
        assert owned() == 0
        settle(engine)
        assert owned() == 1


class TestPausedKeys:
    def test_let_nothing_start_and_take_back_what_has_not_started(self, engine: Engine) -> None:
        per_key(2)
        worker = engine.worker(slots=9)
        engine.create_many(4, concurrency_key="k")
        settle(engine)
        [attempt] = engine.start(worker, limit=1)
        one(paused=True)
        others = engine.create_many(3, concurrency_key="other")
        settle(engine)
        assert (owned(), parked(), owned("other")) == (1, 3, 2)
        engine.finish(worker, attempt, SUCCEEDED)
        opening.release_idle_keys(engine.session)
        settle(engine)
        assert (owned(), parked()) == (0, 3)
        opening.release_idle_keys(engine.session)
        assert parked() == 3
        assert engine.statuses(others[:2]) == ["SCHEDULED"] * 2

    @pytest.mark.parametrize("go_on", [lambda: one(), lambda: delete_key("default", "k", actor="test")])
    def test_go_on_where_they_were(self, engine: Engine, go_on: Callable[[], object]) -> None:
        one(paused=True)
        engine.worker(slots=9)
        tasks = engine.create_many(3, concurrency_key="k")
        settle(engine)
        assert (owned(), parked()) == (0, 3)
        go_on()
        settle(engine)
        assert engine.statuses(tasks) == ["SCHEDULED", "PENDING", "PENDING"]

    def test_leave_the_same_key_of_another_queue_alone(self, engine: Engine) -> None:
        one(paused=True)
        engine.worker(slots=9)
        engine.create(concurrency_key="k", queue="other")
        settle(engine)
        assert owned() == 1


class TestReleaseKey:
    def test_makes_as_many_visible_as_there_is_room_for(self, engine: Engine) -> None:
        engine.worker(slots=9)
        tasks = engine.create_many(5, concurrency_key="k")
        settle(engine)
        with_room = {"queue": "default", "key": "k", "most": 3}
        assert engine.session.send("release_key", with_room).rowcount == 2
        assert [engine.task(each).gate for each in tasks[1:]] == [Gate.OPEN] * 2 + [Gate.KEY] * 2

    def test_neither_waits_for_a_task_that_somebody_has_nor_releases_another(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        task_id = engine.create(concurrency_key="k")
        Task.objects.update(gate=Gate.KEY)
        with locked(open_session(), "tasks", "id", task_id):
            assert engine.session.send("release_key", {"queue": "default", "key": "k", "most": 9}).rowcount == 0


class TestSetKey:
    def test_counts_versions_and_refuses_what_is_stale(self, engine: Engine) -> None:
        row, made = set_key("q", "k", {"maxConcurrency": 2}, actor="test", versions=[0])
        assert (row.version, made) == (1, True)
        with pytest.raises(Stale, match="version 1"):
            set_key("q", "k", {}, actor="test", versions=[0])
        assert set_key("q", "k", {"maxConcurrency": 2}, actor="test")[0].version == 1
        row, made = set_key("q", "k", {"weight": 5}, actor="test", versions=[1])
        assert (row.version, row.max_concurrency, row.weight, made) == (2, None, 5, False)
        with pytest.raises(Stale):
            delete_key("q", "k", actor="test", versions=[1])
        delete_key("q", "k", actor="test", versions=[2])
        for gone in (lambda: key_of("q", "k"), lambda: delete_key("q", "k", actor="test")):
            with pytest.raises(KeyNotFound):
                gone()

    def test_is_audited_with_what_changed(self, engine: Engine) -> None:
        set_key("q", "k", {"maxConcurrency": 2, "paused": True}, actor="who", reason="why")
        delete_key("q", "k", actor="who")
        first, last = AuditEvent.objects.filter(target="queue:q").order_by("id")
        assert (first.action, first.actor, first.reason) == ("queue.key_set", "who", "why")
        assert first.detail == {
            "key": "k",
            "maxConcurrency": {"from": None, "to": 2},
            "paused": {"from": False, "to": True},
        }
        assert (last.action, last.detail["paused"]) == ("queue.key_unset", {"from": True, "to": False})

    @pytest.mark.parametrize(
        ("value", "field"),
        [
            ([], "body"),
            ({"nope": 1}, "nope"),
            ({"maxConcurrency": 0}, "maxConcurrency"),
            ({"maxConcurrency": 1001}, "maxConcurrency"),
            ({"maxConcurrency": True}, "maxConcurrency"),
            ({"weight": 0}, "weight"),
            ({"weight": None}, "weight"),
            ({"paused": 1}, "paused"),
        ],
    )
    def test_names_what_cannot_be(self, engine: Engine, value: object, field: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            set_key("q", "k", value, actor="test")
        assert set(refused.value.problems) == {field}
        assert not QueueKey.objects.exists()


class TestWhy:
    def reasons(self, task_id: UUID) -> dict[str, str]:
        found = why(Task.objects.get(pk=task_id))
        return {reason.code: reason.detail for reason in found if reason.code.startswith("KEY")}

    def test_names_the_holders_of_a_full_key(self, engine: Engine) -> None:
        per_key(2)
        worker = engine.worker(slots=9)
        holders = [engine.assigned(worker, concurrency_key="k") for _ in range(2)]
        waiting = engine.create(concurrency_key="k")
        assert self.reasons(waiting) == {
            "KEY_LIMIT": f"2 tasks hold concurrency key k, whose maxConcurrency is 2: {holders[0]}, {holders[1]}"
        }
        per_key(3)
        assert self.reasons(waiting) == {}

    def test_names_no_more_than_a_few(self, engine: Engine) -> None:
        per_key(7)
        engine.worker(slots=9)
        engine.create_many(7, concurrency_key="k")
        settle(engine)
        detail = self.reasons(engine.create(concurrency_key="k"))["KEY_LIMIT"]
        assert detail.startswith("7 tasks hold") and detail.endswith(" and others") and detail.count(", ") == 5

    def test_says_that_its_key_is_paused(self, engine: Engine) -> None:
        one(paused=True)
        engine.worker(slots=9)
        assert self.reasons(engine.create(concurrency_key="k")).keys() == {"KEY_PAUSED"}


def test_a_cancelled_holder_gives_its_slot_to_the_next(engine: Engine) -> None:
    per_key(2)
    engine.worker(slots=9)
    tasks = engine.create_many(4, concurrency_key="k")
    settle(engine)
    services.cancel_task(tasks[0], actor="test")
    services.edit_task(tasks[1], {"schedule_at": Task.objects.get(pk=tasks[1]).run_at + timedelta(hours=1)}, actor="t")
    settle(engine)
    assert engine.statuses(tasks) == ["CANCELLED", "PENDING", "SCHEDULED", "SCHEDULED"]
