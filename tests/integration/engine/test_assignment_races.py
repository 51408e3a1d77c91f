"""The assignment pass when others hold the rows it wants, or change them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import psycopg
import pytest

from flow_app import assignment
from flow_app.survey import survey_due
from tasks_app import services
from tasks_app.models import Task
from tasks_app.sessions import Session
from tasks_app.states import Gate
from tests.support.engine import Engine, in_seconds, pass_over
from tests.support.races import locked, rival_on, transaction
from tests.support.waiting import eventually
from workers_app import heartbeats

OpenSession = Callable[[], Session]


class TestAssignDueTasksAmongOthers:
    def test_skips_rows_that_somebody_holds_without_waiting(self, engine: Engine, open_session: OpenSession) -> None:
        engine.worker(slots=3)
        first, second, third = engine.create_many(3)
        with locked(open_session(), "tasks", "id", second):
            assert engine.assign().assigned == 2
            assert engine.statuses([first, second, third]) == ["SCHEDULED", "PENDING", "SCHEDULED"]
        assert engine.assign().assigned == 1

    def test_gives_the_room_of_a_row_that_somebody_holds_to_the_next(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """However long it is held, by a console somebody left open for example: the queue behind it goes on."""
        engine.worker(slots=1)
        first, second = engine.create_many(2)
        with locked(open_session(), "tasks", "id", first):
            assert engine.assign().assigned == 1
            assert engine.statuses([first, second]) == ["PENDING", "SCHEDULED"]

    def test_makes_no_pass_while_another_scheduler_makes_one(self, engine: Engine, open_session: OpenSession) -> None:
        engine.worker()
        task_id = engine.create()
        with locked(open_session(), "scheduler_pass", "name", "assign"):
            report = engine.assign()
            assert (report.held, report.assigned, report.moved) == (False, 0, False)
            assert engine.task(task_id).status == "PENDING"
        assert engine.assign().held

    def test_never_overshoots_room_when_two_schedulers_pass_at_once(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """The pass is a statement of its own: merged with the counting, its snapshot would be older than the lock."""
        engine.worker(slots=5)
        engine.create_many(20)
        first, second = open_session(), open_session()
        survey = survey_due(first)
        with transaction(first):
            first.rows("take_pass")
            pass_over(first, ["default"], limit=100)
            rivals = [rival_on(second, lambda session: assignment.assign_due_tasks(session, survey))]
            assert [r.answer().held for r in rivals] == [False]
        assert not assignment.assign_due_tasks(second, survey).moved
        assert Task.objects.filter(status="SCHEDULED").count() == 5

    def test_frees_the_pass_when_its_scheduler_dies(self, engine: Engine, open_session: OpenSession) -> None:
        engine.worker()
        engine.create()
        doomed = open_session()
        doomed.execute("BEGIN")
        doomed.rows("take_pass")
        assert not engine.assign().held
        engine.session.fetch("SELECT pg_terminate_backend(%s, 5000)", [doomed.connection.info.backend_pid])
        assert engine.assign().assigned == 1

    def test_does_nothing_in_a_transaction_that_has_not_taken_the_pass(self, engine: Engine) -> None:
        engine.worker()
        task_id = engine.create()
        engine.assign(limit=0)  # a pass leaves nothing behind in its session
        pass_over(engine.session, ["default"])
        assert engine.task(task_id).status == "PENDING"

    def test_is_not_held_up_by_beats_and_holds_none_up(self, engine: Engine, open_session: OpenSession) -> None:
        worker = engine.worker()
        engine.create()
        beating, passing = open_session(), open_session()
        with transaction(beating):
            assert heartbeats.beat(beating, worker, held={}, prefetch=0)
            with transaction(passing):
                passing.rows("take_pass")
                pass_over(passing, ["default"])
                assert heartbeats.beat(beating, worker, held={}, prefetch=0)

    def test_gives_nothing_to_a_worker_that_is_declared_dead_meanwhile(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        worker, task_id = engine.worker(), engine.create()
        marking, passing = open_session(), open_session()
        survey = survey_due(passing)
        with transaction(marking):
            heartbeats.mark_dead(marking, worker)
            scheduler = rival_on(passing, lambda session: assignment.assign_due_tasks(session, survey))
            scheduler.waits(engine.session)
        assert scheduler.answer().assigned == 0
        assert engine.task(task_id).status == "PENDING"

    def test_holds_off_the_mark_of_a_death_until_recovery_can_see_what_it_gave(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        worker, task_id = engine.worker(), engine.create()
        marking, passing = open_session(), open_session()
        with transaction(passing):
            passing.rows("take_pass")
            pass_over(passing, ["default"])
            observer = rival_on(marking, lambda session: heartbeats.mark_dead(session, worker))
            observer.waits(engine.session)
        assert observer.answer()
        assert [row.task_id for row in engine.recover()] == [task_id]
        assert engine.task(task_id).status == "PENDING"

    def test_leaves_a_task_that_was_edited_between_its_look_and_its_lock(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """The pass waits for a worker's row with its snapshot taken; meanwhile the tasks it saw change."""
        worker = engine.worker(slots=10)
        later, moved, cancelled, kept = engine.create_many(4)
        marking, passing = open_session(), open_session()
        survey = survey_due(passing)
        with locked(marking, "worker_heartbeats", "worker_id", worker):
            scheduler = rival_on(passing, lambda session: assignment.assign_due_tasks(session, survey))
            scheduler.waits(engine.session)
            services.edit_task(later, {"schedule_at": in_seconds(60)}, actor="test")
            services.edit_task(moved, {"queue": "elsewhere"}, actor="test")
            services.cancel_task(cancelled, actor="test")
        assert scheduler.answer().assigned == 1
        assert engine.statuses([later, moved, cancelled, kept]) == ["PENDING", "PENDING", "CANCELLED", "SCHEDULED"]

    def test_parks_no_task_that_was_moved_to_another_queue_between_its_look_and_its_lock(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """In its new queue nobody holds the key, so nobody would ever wake it."""
        worker = engine.worker(slots=10)
        first, second = engine.create_many(2, concurrency_key="k")
        marking, passing = open_session(), open_session()
        survey = survey_due(passing)
        with locked(marking, "worker_heartbeats", "worker_id", worker):
            scheduler = rival_on(passing, lambda session: assignment.assign_due_tasks(session, survey))
            scheduler.waits(engine.session)
            services.edit_task(second, {"queue": "elsewhere"}, actor="test")
        assert scheduler.answer().assigned == 1
        assert engine.task(first).status == "SCHEDULED"
        assert engine.task(second).gate == Gate.OPEN
        assert engine.violations() == {}


FREE: Final = "SELECT FROM scheduler_pass WHERE name = 'assign' FOR UPDATE SKIP LOCKED"


@contextmanager
def frozen(watching: Session, *, within_a_trip: bool) -> Iterator[None]:
    """A scheduler that froze in its pass; the server waits for its next message."""
    session = Session("scheduler", idle_in_transaction_session_timeout="50")
    try:
        with pytest.raises(psycopg.Error):
            with session.connection.pipeline():
                session.connection.execute("BEGIN")
                session.send("take_pass")
                eventually(lambda: watching.fetch(FREE) == [])  # sent is not yet received
                if within_a_trip:
                    yield
            if not within_a_trip:
                yield
            session.connection.execute("COMMIT")
    finally:
        session.close()


class TestEndFrozenPass:
    @pytest.mark.parametrize("within_a_trip", [True, False])
    def test_frees_the_pass_of_a_scheduler_that_froze_in_it(self, engine: Engine, within_a_trip: bool) -> None:
        """Within a trip the server takes it for a busy one; between two, nothing watches over the time it is idle."""
        engine.worker()
        engine.create()
        with frozen(engine.session, within_a_trip=within_a_trip):
            assert not engine.assign().held
            assert assignment.end_frozen_pass(engine.session) == 0  # it may be only slow
            eventually(lambda: assignment.end_frozen_pass(engine.session, after=timedelta(0)) == 1)
            eventually(lambda: engine.assign().held)
        assert Task.objects.get().status == "SCHEDULED"

    def test_ends_nobody_who_waits_for_work(self, engine: Engine) -> None:
        idle = Session("scheduler")
        idle.execute("SELECT")
        assert assignment.end_frozen_pass(engine.session, after=timedelta(0)) == 0
        idle.execute("SELECT")
        idle.close()


class TestTakePass:
    def test_gives_the_pass_to_one_transaction_at_a_time(self, open_session: OpenSession) -> None:
        first, second = open_session(), open_session()
        with transaction(first), transaction(second):
            assert [session.rows("take_pass")[0][1] for session in (first, second)] == [True, False]
        with transaction(second):
            assert second.rows("take_pass")[0][1] is True

    def test_marks_the_transaction_for_the_statements_behind_it(self, session: Session) -> None:
        marks = "SELECT current_setting('scheduler.pass', true), current_setting('synchronous_commit')"
        with transaction(session):
            session.rows("take_pass")
            assert session.fetch(marks) == [("held", "off")]
        assert session.fetch(marks) == [("", "on")]


class TestHeldWorkerRows:
    def test_are_locked_in_one_order_so_that_two_markers_cannot_deadlock_with_a_pass(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        """Whatever the plan: read without an index, the rows come as they lie, the higher id first."""
        low, high = sorted([engine.worker(), engine.worker()])
        engine.session.execute("UPDATE worker_heartbeats SET name = 'moved' WHERE worker_id = %s", [low])
        engine.create_many(4)
        marking, passing = open_session(), open_session()
        for setting in ("enable_indexscan = off", "enable_bitmapscan = off", "enable_seqscan = on"):
            passing.execute(f"SET {setting}")
        survey = survey_due(passing)
        epoch = passing.epoch
        with transaction(marking):
            heartbeats.mark_dead(marking, low)
            scheduler = rival_on(passing, lambda session: assignment.assign_due_tasks(session, survey))
            scheduler.waits(engine.session)
            heartbeats.mark_dead(marking, high)  # would close a circle, had the pass locked the higher id first
        assert scheduler.answer().assigned == 0
        assert passing.epoch == epoch
