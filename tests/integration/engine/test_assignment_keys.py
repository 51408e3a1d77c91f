"""Concurrency keys: one task of a key at a time, whatever happens to it, and keys that nobody holds any more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from flow_app import assignment
from flow_app.queues import pause_queue, resume_queue
from flow_app.survey import survey_due
from tasks_app import services
from tasks_app.expiry import expire_tasks
from tasks_app.models import Task
from tasks_app.sessions import Session
from tasks_app.states import Gate
from tests.support.engine import CANCELLED, FAILED, FAILED_FOR_GOOD, RELEASED, SUCCEEDED, Engine, in_seconds, pass_over
from tests.support.races import locked, rival_on, transaction

OpenSession = Callable[[], Session]


class TestConcurrencyKeys:
    def test_let_one_task_through_at_a_time_in_order(self, engine: Engine) -> None:
        tasks = engine.create_many(4, concurrency_key="k")
        urgent = engine.create(concurrency_key="k", priority=1)
        worker = engine.worker(slots=10)
        order = []
        for _ in range(5):
            assert engine.assign().assigned == 1
            assert engine.assign().assigned == 0
            [attempt] = engine.start(worker)
            order.append(attempt.task_id)
            engine.finish(worker, attempt, SUCCEEDED)
        assert order == [urgent, *tasks]
        assert engine.violations() == {}

    def test_are_separate_in_each_queue_and_from_no_key(self, engine: Engine) -> None:
        engine.create(concurrency_key="k", queue="a")
        engine.create(concurrency_key="k", queue="b")
        engine.create(concurrency_key="other", queue="a")
        engine.create_many(2, queue="a")
        engine.worker(slots=10)
        assert engine.assign().assigned == 5

    def test_park_those_that_wait_out_of_the_way_of_others(self, engine: Engine) -> None:
        """A saturated key at the head must not be walked over at every pass."""
        keyed = engine.create_many(20, concurrency_key="k", priority=9)
        others = engine.create_many(3)
        engine.worker(slots=4)
        passes = []
        while (report := engine.assign()).moved:
            passes.append(report)
        assert sum(report.parked for report in passes) == 19
        assert engine.statuses(keyed[:2]) == ["SCHEDULED", "PENDING"]
        assert set(engine.statuses(others)) == {"SCHEDULED"}
        assert Task.objects.filter(gate=Gate.KEY).count() == 19
        assert set(Task.objects.filter(gate=Gate.KEY).values_list("version", flat=True)) == {1}

    def test_are_never_overtaken_by_a_newcomer(self, engine: Engine) -> None:
        worker = engine.worker(slots=4)
        first, parked = engine.create_many(2, concurrency_key="k")
        engine.assign()
        newcomer = engine.create(concurrency_key="k")
        [attempt] = engine.start(worker)
        engine.finish(worker, attempt, SUCCEEDED)
        engine.assign()
        assert engine.statuses([first, parked, newcomer]) == ["SUCCESS", "SCHEDULED", "PENDING"]

    def test_are_not_overtaken_even_when_a_release_was_missed(self, engine: Engine, open_session: OpenSession) -> None:
        """The first in line was held by somebody when its key came free, so it is still parked."""
        worker = engine.worker(slots=4)
        _, parked = engine.create_many(2, concurrency_key="k")
        engine.assign()
        [attempt] = engine.start(worker)
        with locked(open_session(), "tasks", "id", parked):
            engine.finish(worker, attempt, SUCCEEDED)
        newcomer = engine.create(concurrency_key="k")
        assert [engine.task(t).gate for t in (parked, newcomer)] == [Gate.KEY, Gate.OPEN]
        engine.assign()
        assert engine.statuses([parked, newcomer]) == ["SCHEDULED", "PENDING"]
        assert engine.task(newcomer).gate == Gate.KEY
        [attempt] = engine.start(worker)
        engine.finish(worker, attempt, SUCCEEDED)
        assert engine.task(newcomer).gate == Gate.OPEN

    def test_neither_wait_for_the_first_in_line_nor_pass_it_over(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        worker = engine.worker(slots=4)
        _, parked = engine.create_many(2, concurrency_key="k")
        engine.assign()
        [attempt] = engine.start(worker)
        with locked(open_session(), "tasks", "id", parked):
            engine.finish(worker, attempt, SUCCEEDED)
            newcomer = engine.create(concurrency_key="k")
            scheduler = rival_on(open_session(), lambda session: Engine(session).assign())
            assert scheduler.answer().assigned == 0
        engine.assign()
        assert engine.statuses([parked, newcomer]) == ["SCHEDULED", "PENDING"]

    @pytest.mark.parametrize("change", ["cancel", "move", "put off"])
    def test_do_not_assign_a_first_in_line_that_changed_meanwhile(
        self, engine: Engine, open_session: OpenSession, change: str
    ) -> None:
        """The pass waits for a worker's row with its snapshot taken; in it, the parked task is the first of its key."""
        worker = engine.worker(slots=4)
        _, parked = engine.create_many(2, concurrency_key="k")
        engine.assign()
        [attempt] = engine.start(worker)
        with locked(open_session(), "tasks", "id", parked):
            engine.finish(worker, attempt, SUCCEEDED)
        engine.create(concurrency_key="k")
        marking, passing = open_session(), open_session()
        survey = survey_due(passing)
        with locked(marking, "worker_heartbeats", "worker_id", worker):
            scheduler = rival_on(passing, lambda session: assignment.assign_due_tasks(session, survey))
            scheduler.waits(engine.session)
            if change == "cancel":
                services.cancel_task(parked, actor="test")
            elif change == "move":
                services.edit_task(parked, {"queue": "elsewhere"}, actor="test")
            else:
                services.edit_task(parked, {"schedule_at": in_seconds(60)}, actor="test")
        scheduler.answer()
        assert engine.task(parked).status == ("CANCELLED" if change == "cancel" else "PENDING")
        assert engine.violations() == {}

    @pytest.mark.parametrize(
        "way",
        [
            "success",
            "failure",
            "retry later",
            "cancelled",
            "released",
            "cancel",
            "edit",
            "move",
            "recover",
            "expire",
            "pause",
        ],
    )
    def test_are_freed_by_every_way_a_holder_makes_way(self, engine: Engine, way: str) -> None:
        worker = engine.worker(slots=1, queues=["default", "elsewhere"])
        holder, parked = engine.create_many(2, concurrency_key="k")
        engine.assign()
        assert engine.task(parked).gate == Gate.KEY
        outcomes = {
            "success": SUCCEEDED,
            "failure": FAILED_FOR_GOOD,
            "retry later": FAILED,
            "cancelled": CANCELLED,
            "released": RELEASED,
        }
        if way in outcomes:
            [attempt] = engine.start(worker)
            assert engine.finish(worker, attempt, outcomes[way])
        elif way == "cancel":
            services.cancel_task(holder, actor="test")
        elif way == "edit":
            services.edit_task(holder, {"schedule_at": in_seconds(60)}, actor="test")
        elif way == "move":
            services.edit_task(holder, {"queue": "elsewhere"}, actor="test")
        elif way == "recover":
            engine.start(worker)
            engine.lose(worker)
        elif way == "expire":
            engine.move(holder, expires_at=-timedelta(seconds=1))
            assert expire_tasks(engine.session) == 1
        elif way == "pause":
            pause_queue("default", actor="test")
            resume_queue("default", actor="test")
        assert engine.task(parked).gate == Gate.OPEN
        assert engine.violations() == {}
        engine.worker(slots=1, queues=["default"])
        engine.assign()
        expected = holder if way in ("released", "recover", "pause") else parked  # due as before: it is first again
        assert [engine.task(t).status for t in (holder, parked) if t == expected] == ["SCHEDULED"]

    @pytest.mark.parametrize("way", ["cancel", "edit", "move"])
    def test_are_passed_on_when_the_visible_candidate_makes_way(self, engine: Engine, way: str) -> None:
        """Nobody holds the key, one waiting task is visible, the others are parked behind it."""
        worker = engine.worker(slots=1)
        holder, candidate, parked = engine.create_many(3, concurrency_key="k")
        engine.assign()
        [attempt] = engine.start(worker)
        engine.finish(worker, attempt, SUCCEEDED)
        assert [engine.task(t).gate for t in (candidate, parked)] == [Gate.OPEN, Gate.KEY]
        if way == "cancel":
            services.cancel_task(candidate, actor="test")
        elif way == "edit":
            services.edit_task(candidate, {"schedule_at": in_seconds(60)}, actor="test")
        else:
            services.edit_task(candidate, {"queue": "elsewhere"}, actor="test")
        assert engine.task(parked).gate == Gate.OPEN
        assert engine.task(holder).status == "SUCCESS"

    @pytest.mark.parametrize("way", ["cancel", "edit", "expire"])
    def test_stay_parked_when_another_parked_task_makes_way(self, engine: Engine, way: str) -> None:
        """The key is still held: a task made visible now would only be parked again."""
        engine.worker(slots=1)
        _, leaving, staying = engine.create_many(3, concurrency_key="k")
        engine.assign()
        if way == "cancel":
            services.cancel_task(leaving, actor="test")
        elif way == "edit":
            services.edit_task(leaving, {"queue": "elsewhere"}, actor="test")
        else:
            engine.move(leaving, expires_at=-timedelta(seconds=1))
            assert expire_tasks(engine.session) == 1
        assert engine.task(staying).gate == Gate.KEY

    def test_let_a_task_in_backoff_come_back_in_its_turn(self, engine: Engine) -> None:
        worker = engine.worker(slots=1)
        failing, other = engine.create_many(2, concurrency_key="k")
        engine.assign()
        [attempt] = engine.start(worker)
        assert engine.finish(worker, attempt, FAILED) == "PENDING"
        engine.assign()
        assert engine.statuses([failing, other]) == ["PENDING", "SCHEDULED"]
        engine.move(failing, run_at=-timedelta(seconds=1))
        engine.assign()
        [attempt] = engine.start(worker)
        engine.finish(worker, attempt, SUCCEEDED)
        engine.assign()
        assert engine.statuses([failing, other]) == ["SCHEDULED", "SUCCESS"]

    def test_stay_fair_to_a_task_retried_by_hand_after_it_was_cancelled_while_parked(self, engine: Engine) -> None:
        """It was parked when it ended; when it comes back nobody holds the key, so it must be visible."""
        worker = engine.worker(slots=1)
        holder, parked = engine.create_many(2, concurrency_key="k")
        engine.assign()
        services.cancel_task(parked, actor="test")
        [attempt] = engine.start(worker)
        engine.finish(worker, attempt, SUCCEEDED)
        services.retry_task(parked, actor="test")
        assert engine.violations() == {}
        assert engine.assign().assigned == 1
        assert engine.statuses([holder, parked]) == ["SUCCESS", "SCHEDULED"]

    def test_are_parked_only_behind_a_holder_that_cannot_end_unseen(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """The holder's row is locked by its finish: what waits is left visible for the next pass."""
        worker = engine.worker(slots=3)
        [attempt] = [engine.running(worker, concurrency_key="k")]
        waiting = engine.create(concurrency_key="k")
        finishing = open_session()
        with transaction(finishing):
            Engine(finishing).finish(worker, attempt, SUCCEEDED)
            assert not engine.assign().moved
            assert engine.task(waiting).gate == Gate.OPEN
        assert engine.assign().assigned == 1

    def test_hold_off_the_holders_end_until_the_parked_can_be_seen(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        worker = engine.worker(slots=3)
        attempt = engine.running(worker, concurrency_key="k")
        waiting = engine.create(concurrency_key="k")
        passing, finishing = open_session(), open_session()
        with transaction(passing):
            passing.rows("take_pass")
            pass_over(passing, ["default"])
            end = rival_on(finishing, lambda session: Engine(session).finish(worker, attempt, SUCCEEDED))
            end.waits(engine.session)
        assert end.answer() == "SUCCESS"
        assert engine.task(waiting).gate == Gate.OPEN
        assert engine.assign().assigned == 1

    def test_are_kept_by_the_database_itself(self, engine: Engine) -> None:
        """Should a statement forget to look, the unique index does not."""
        worker = engine.worker(slots=3)
        engine.assigned(worker, concurrency_key="k")
        second = engine.create(concurrency_key="k")
        with pytest.raises(Exception, match="tasks_key_held"):
            engine.session.execute(
                "UPDATE tasks SET status = 'SCHEDULED', worker_id = %s, key_slot = 0 WHERE id = %s", [worker, second]
            )


class TestReleaseIdleKeys:
    def release(
        self, engine: Engine, *, after: tuple[str, str] = ("", ""), limit: int = 1000
    ) -> list[tuple[object, ...]]:
        return engine.session.rows("release_idle_keys", {"queue": after[0], "key": after[1], "limit": limit})

    def stranded(self, engine: Engine, key: str) -> UUID:
        """A parked task whose holder's end could not release it, because an edit held its row and was rolled back."""
        task_id = engine.create(concurrency_key=key)
        Task.objects.filter(pk=task_id).update(gate=Gate.KEY)
        return task_id

    def test_makes_a_stranded_task_visible(self, engine: Engine, open_session: OpenSession) -> None:
        worker = engine.worker(slots=1)
        _, parked = engine.create_many(2, concurrency_key="k")
        engine.assign()
        [attempt] = engine.start(worker)
        editing = open_session()
        with locked(editing, "tasks", "id", parked):  # released without a change, as a rolled-back edit is
            engine.finish(worker, attempt, SUCCEEDED)
        assert engine.violations() == {"a parked task waits for a held key": 1}
        self.release(engine)
        assert engine.violations() == {}
        assert engine.assign().assigned == 1

    def test_leaves_tasks_whose_key_is_held(self, engine: Engine) -> None:
        engine.worker(slots=1)
        _, parked = engine.create_many(2, concurrency_key="k")
        engine.assign()
        self.release(engine)
        assert engine.task(parked).gate == Gate.KEY

    def test_releases_only_the_first_of_a_key(self, engine: Engine) -> None:
        first, second = self.stranded(engine, "k"), self.stranded(engine, "k")
        self.release(engine)
        assert [engine.task(t).gate for t in (first, second)] == [Gate.OPEN, Gate.KEY]

    def test_walks_all_keys_a_few_at_a_time(self, engine: Engine) -> None:
        stranded = [self.stranded(engine, f"k{n}") for n in range(5)]
        after, rounds = ("", ""), 0
        while rows := self.release(engine, after=after, limit=2):
            [(queue, key, _)] = rows
            after, rounds = (str(queue), str(key)), rounds + 1
        assert rounds == 2
        assert [engine.task(task_id).gate for task_id in stranded] == [Gate.OPEN] * 5

    def test_skips_a_row_that_is_held(self, engine: Engine, open_session: OpenSession) -> None:
        task_id = self.stranded(engine, "k")
        with locked(open_session(), "tasks", "id", task_id):
            self.release(engine)
        assert engine.task(task_id).gate == Gate.KEY
        self.release(engine)
        assert engine.task(task_id).gate == Gate.OPEN
