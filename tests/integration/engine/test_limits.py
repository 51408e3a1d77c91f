"""Limits of queues: at most so many of their tasks are assigned or running, whatever else happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from uuid import UUID

import pytest

from access_app.models import AuditEvent
from access_app.versions import Stale
from flow_app import assignment
from flow_app.models import Queue
from flow_app.queues import edit_queue, pause_queue, queue_of
from flow_app.rules import MOST_CONCURRENT
from flow_app.survey import survey_due
from tasks_app.models import Task
from tasks_app.sessions import Session
from tests.support.engine import FAILED, SUCCEEDED, Engine, room_of
from tests.support.races import rival, transaction

OpenSession = Callable[[], Session]


def limit(most: int | None, queue: str = "default") -> Queue:
    return edit_queue(queue, {"maxConcurrency": most}, actor="test")


def owned(queue: str = "default") -> int:
    return Task.objects.filter(queue=queue, status__in=["SCHEDULED", "RUNNING"]).count()


class TestLimits:
    def test_hold_over_priorities_and_workers_of_different_queues(self, engine: Engine) -> None:
        limit(3)
        for queues in (None, ["default"], ["default", "other"]):
            engine.worker(slots=9, queues=queues)
        for priority in (-1, 0, 1):
            engine.create_many(4, priority=priority)
        assert engine.assign().assigned == 3
        assert not engine.assign().moved
        assert Counter(Task.objects.filter(status="SCHEDULED").values_list("priority", flat=True)) == {1: 3}

    def test_leave_other_queues_their_room(self, engine: Engine) -> None:
        limit(1)
        engine.worker(slots=9)
        engine.create_many(20)
        engine.create_many(20, queue="other")
        while engine.assign().moved:
            pass
        assert (owned(), owned("other")) == (1, 8)

    def test_give_room_again_with_every_end_and_every_retry(self, engine: Engine) -> None:
        limit(2)
        worker = engine.worker(slots=9)
        engine.create_many(5)
        engine.assign()
        first, second = engine.start(worker)
        engine.finish(worker, first, SUCCEEDED)
        engine.finish(worker, second, FAILED)
        assert owned() == 0
        assert engine.assign().assigned == 2

    def test_hold_for_suspects_whose_queue_has_nothing_else(self, engine: Engine) -> None:
        limit(1)
        for _ in range(3):
            engine.worker()
        for task_id in engine.create_many(3):
            engine.session.execute("UPDATE tasks SET crash_count = 1 WHERE id = %s", [task_id])
        assert engine.assign().assigned == 1
        assert not engine.assign().moved

    def test_hold_for_the_first_tasks_of_concurrency_keys(self, engine: Engine) -> None:
        limit(2)
        engine.worker(slots=9)
        for key in "abcd":
            engine.create_many(2, concurrency_key=key)
        while engine.assign().moved:
            pass
        assert owned() == 2

    def test_of_zero_close_the_queue(self, engine: Engine) -> None:
        limit(0)
        engine.worker()
        engine.create()
        assert not engine.assign().moved
        limit(None)
        assert engine.assign().assigned == 1

    def test_that_are_raised_are_used_by_the_next_pass(self, engine: Engine) -> None:
        limit(1)
        engine.worker(slots=9)
        engine.create_many(9)
        engine.assign()
        limit(4)
        assert engine.assign().assigned == 3

    def test_that_are_lowered_take_back_what_has_not_started_and_start_nothing(self, engine: Engine) -> None:
        worker = engine.worker(slots=9)
        engine.create_many(9)
        engine.assign()
        running = engine.start(worker, limit=3)
        limit(2)
        assert owned() == 3
        assert not engine.assign().moved
        engine.finish(worker, running[0], SUCCEEDED)
        assert not engine.assign().moved
        engine.finish(worker, running[1], SUCCEEDED)
        assert engine.assign().assigned == 1
        assert engine.violations() == {}

    def test_count_what_was_assigned_before_there_was_one(self, engine: Engine) -> None:
        worker = engine.worker(slots=9)
        engine.create_many(2)
        engine.assign()
        engine.start(worker)
        engine.create_many(5)
        limit(4)
        assert engine.assign().assigned == 2
        limit(None)
        engine.create_many(5)
        assert engine.assign().assigned == 5
        engine.start(worker)
        limit(9)
        assert not engine.assign().moved
        assert owned() == 9
        assert engine.violations() == {}

    def test_are_not_passed_by_a_pass_that_began_before(self, engine: Engine, open_session: OpenSession) -> None:
        """The limit waits for a pass that is under way, and counts what it assigned."""
        engine.worker(slots=9)
        engine.create_many(9)
        passing = open_session()
        with transaction(passing):
            passing.rows("take_pass")
            setting = rival(lambda: limit(2))
            setting.waits(engine.session)
        assert setting.answer().max_concurrency == 2
        assert engine.assign().assigned == 2

    def test_hold_when_two_schedulers_pass_in_turn_over_one_survey(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        limit(3)
        engine.worker(slots=9)
        engine.create_many(9)
        survey = survey_due(engine.session)
        assert [assignment.assign_due_tasks(open_session(), survey).assigned for _ in range(3)] == [3, 0, 0]

    def test_hold_for_what_is_given_back_and_recovered(self, engine: Engine) -> None:
        limit(2)
        worker, other = engine.worker(slots=1), engine.worker(slots=1)
        engine.create_many(4)
        engine.assign()
        assignment.hand_back_assigned(engine.session, worker_id=worker, reason="test")
        engine.kill(other)
        engine.recover()
        engine.worker(slots=9)
        assert engine.assign().assigned == 2
        assert not engine.assign().moved

    def test_cost_what_waits_behind_them_no_look(self, engine: Engine) -> None:
        """A queue that has no room left is not read at all."""
        limit(1)
        engine.worker(slots=9)
        engine.create_many(3)
        engine.assign()
        with transaction(engine.session):
            engine.session.rows("take_pass")
            engine.session.rows("count_room", room_of(["default"]))
            assert engine.session.fetch("SELECT current_setting('scheduler.shares')") == [("{0}",)]


class TestEditQueue:
    def test_is_audited_and_gives_the_queue_a_new_version(self, engine: Engine) -> None:
        assert queue_of("q").version == 0
        assert [limit(3, "q").version, limit(3, "q").version, limit(None, "q").version] == [1, 1, 2]
        events = AuditEvent.objects.filter(action="queue.edited").order_by("id").values_list("target", "detail")
        assert list(events) == [
            ("queue:q", {"maxConcurrency": {"from": None, "to": 3}}),
            ("queue:q", {"maxConcurrency": {"from": 3, "to": None}}),
        ]

    def test_refuses_a_version_that_has_gone(self, engine: Engine) -> None:
        assert edit_queue("q", {"maxConcurrency": 3}, actor="test", versions=[0]).version == 1
        with pytest.raises(Stale, match="the queue has changed"):
            edit_queue("q", {"maxConcurrency": 4}, actor="test", versions=[0])
        assert queue_of("q").max_concurrency == 3

    @pytest.mark.parametrize("most", [-1, MOST_CONCURRENT + 1])
    def test_refuses_what_is_no_limit(self, engine: Engine, most: int) -> None:
        with pytest.raises(ValueError, match="between 0 and 100,000"):
            limit(most)

    def test_leaves_a_pause_as_it_is(self, engine: Engine) -> None:
        pause_queue("q", actor="test", reason="r")
        assert (limit(3, "q").is_paused, limit(3, "q").pause_reason) == (True, "r")


class TestStampLimited:
    def test_stamps_what_is_owned_of_one_queue(self, engine: Engine) -> None:
        worker = engine.worker(slots=9)
        running = engine.running(worker).task_id
        other = engine.create(queue="other")
        engine.assign()
        waiting = engine.create()
        limit(5)
        stamped: dict[UUID, bool] = dict(Task.objects.values_list("id", "limited"))
        assert stamped == {running: True, other: False, waiting: False}
