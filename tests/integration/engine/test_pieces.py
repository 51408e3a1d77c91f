"""Pieces of bulk operations: each task that matches is touched or skipped, once, whoever does the pieces and dies."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from access_app.models import AuditEvent
from access_app.sql import statement
from tasks_app import acting, pieces, services
from tasks_app.acts import OperationState
from tasks_app.api.operation_filters import condition_of_filter
from tasks_app.models import BulkOperation, Task
from tasks_app.pieces import (
    MOST_HELD,
    Pace,
    Piece,
    Taken,
    advance_bulk_operation,
    do_piece,
    find_matching,
    lock_matching,
    take_bulk_operation,
)
from tasks_app.sessions import Session
from tests.integration.engine.test_plans import Plan
from tests.support.engine import SUCCEEDED, Engine
from tests.support.operations import Steady, begin, finish, piece, row_of
from tests.support.races import locked, rival, rival_on, transaction
from tests.support.waiting import eventually

OpenSession = Callable[[], Session]


def counts(operation_id: UUID) -> tuple[str, int, int, dict[str, int]]:
    row = row_of(operation_id)
    return row.state, row.count, row.touched, row.skips


class TestDoPiece:
    def test_goes_through_all_that_match_in_pieces_and_leaves_the_rest_alone(self, engine: Engine) -> None:
        wanted, other = engine.create_many(7, queue="a"), engine.create_many(2, queue="b")
        operation_id = begin(queue="a", reason="not wanted")
        later = engine.create(queue="a")
        done: list[Piece] = []
        while row_of(operation_id).state == "RUNNING":
            found = piece(engine.session, size=3)
            assert found is not None
            done.append(found)
        assert [each.touched for each in done][:3] == [3, 3, 1]
        assert engine.statuses(wanted) == ["CANCELLED"] * 7
        assert engine.statuses([*other, later]) == ["PENDING"] * 3, "what came later was not in the dry run"
        assert counts(operation_id) == ("DONE", 7, 7, {})
        events = AuditEvent.objects.filter(action="task.cancelled")
        said = f"not wanted (bulk operation {operation_id})"
        assert {(each.actor, each.reason) for each in events} == {("on-call", said)}
        assert sorted(each.task_id for each in events) == sorted(wanted)
        assert engine.violations() == {}

    def test_says_of_each_task_that_it_leaves_alone_why(self, engine: Engine) -> None:
        worker = engine.worker(slots=1)
        attempt = engine.running(worker)
        engine.create()
        operation_id = begin(status=["PENDING", "RUNNING"])
        services.cancel_task(attempt.task_id, actor="x")
        row = finish(engine.session, operation_id)
        assert (row.touched, row.skips, row.done) == (1, {"STOPPING": 1}, 2)
        again = finish(engine.session, begin(status=["CANCELLED", "RUNNING"]))
        assert (again.touched, again.skips) == (0, {"STOPPING": 1, "ENDED": 1})

    def test_asks_running_tasks_to_stop_and_names_their_workers(self, engine: Engine) -> None:
        worker = engine.worker(slots=2)
        attempts = [engine.running(worker) for _ in range(2)]
        begin(status="RUNNING")
        done = piece(engine.session)
        assert done is not None and (done.touched, done.stop) == (2, [worker])
        assert all(engine.task(each.task_id).cancel_requested_at for each in attempts)
        assert engine.statuses([each.task_id for each in attempts]) == ["RUNNING"] * 2

    def test_leaves_what_somebody_holds_and_comes_back_to_it(self, engine: Engine, open_session: OpenSession) -> None:
        tasks = engine.create_many(5)
        operation_id = begin(status="PENDING")
        with locked(open_session(), "tasks", "id", tasks[1], tasks[3]):
            done = piece(engine.session)
            assert done is not None and (done.touched, done.held) == (3, [tasks[1], tasks[3]])
            assert piece(engine.session) is not None
            assert row_of(operation_id).state == "RUNNING"
        assert counts(operation_id) == ("RUNNING", 5, 3, {})
        finish(engine.session, operation_id)
        assert counts(operation_id) == ("DONE", 5, 5, {})
        assert engine.statuses(tasks) == ["CANCELLED"] * 5

    def test_forgets_what_it_held_and_matches_no_longer(self, engine: Engine, open_session: OpenSession) -> None:
        worker = engine.worker(slots=1)
        attempt = engine.running(worker)
        operation_id = begin(status="RUNNING")
        with locked(open_session(), "tasks", "id", attempt.task_id):
            piece(engine.session)
        engine.finish(worker, attempt, SUCCEEDED)
        assert finish(engine.session, operation_id).done == 0

    def test_looks_no_further_while_it_holds_too_many(
        self, engine: Engine, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pieces, "MOST_HELD", 2)
        assert MOST_HELD > 2
        tasks = engine.create_many(5)
        operation_id = begin(status="PENDING")
        with locked(open_session(), "tasks", "id", *tasks[:2]):
            piece(engine.session, size=2)
            piece(engine.session, size=2)
            assert row_of(operation_id).position == tasks[1]
        assert finish(engine.session, operation_id, size=2).touched == 5

    def test_looks_at_many_rows_however_small_it_is(self, engine: Engine) -> None:
        """Where each commit takes long, pieces are small; those that find nothing must not be many."""
        engine.create_many(30, queue="other")
        engine.create_many(1, queue="a")
        operation_id = begin(queue="a")
        first = Task.objects.order_by("pk")[0]
        BulkOperation.objects.filter(pk=operation_id).update(position=UUID(int=first.pk.int - 1))
        done = piece(engine.session, size=1)
        assert done is not None
        assert done.touched == 1

    def test_looks_at_a_bounded_number_of_rows_however_few_match(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pieces, "LOOKS", 1)
        monkeypatch.setattr(pieces, "LEAST_LOOK", 2)
        engine.create_many(5, queue="other")
        [last] = engine.create_many(1, queue="a")
        [first] = Task.objects.filter(queue="other").order_by("pk")[:1]
        operation_id = begin(queue="a")
        BulkOperation.objects.filter(pk=operation_id).update(position=UUID(int=first.pk.int - 1))
        touched = []
        while row_of(operation_id).state == "RUNNING":
            done = piece(engine.session, size=2)
            assert done is not None
            touched.append(done.touched)
        assert touched[:3] == [0, 0, 1]
        assert engine.task(last).status == "CANCELLED"

    def test_of_two_schedulers_is_never_the_same(self, engine: Engine, open_session: OpenSession) -> None:
        engine.create_many(4)
        operation_id = begin(status="PENDING")
        other = open_session()
        with transaction(other):
            assert take_bulk_operation(other) is not None
            assert piece_beside(engine.session) is None
        assert finish(engine.session, operation_id).touched == 4

    def test_is_taken_back_as_a_whole(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        """Killed at any line: position and tasks are one transaction."""
        tasks = engine.create_many(4)
        operation_id = begin(status="PENDING")
        before = row_of(operation_id).position

        def die(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(pieces, "advance_bulk_operation", die)
            with pytest.raises(KeyboardInterrupt):
                piece(engine.session, size=2)
        assert row_of(operation_id).position == before
        assert engine.statuses(tasks) == ["PENDING"] * 4
        assert finish(engine.session, operation_id, size=2).touched == 4
        assert AuditEvent.objects.filter(action="task.cancelled").count() == 4

    def test_ends_an_operation_whose_filter_nobody_can_read(self, engine: Engine) -> None:
        [task] = engine.create_many(1)
        operation_id = begin(status="PENDING")
        for unreadable in ({"colour": "red"}, {"status": []}, {"queue": "no such name!"}):
            BulkOperation.objects.filter(pk=operation_id).update(filter=unreadable, state="RUNNING", finished_at=None)
            row = finish(engine.session, operation_id)
            assert (row.state, row.touched) == ("FAILED", 0)
            assert next(iter(unreadable)) in (row.error or "")
        assert engine.task(task).status == "PENDING"

    def test_lets_a_task_fail_alone_that_the_database_refuses(self, engine: Engine) -> None:
        tasks = engine.create_many(5, queue="a")
        engine.session.execute(f"ALTER TABLE tasks ADD CONSTRAINT refused CHECK (id <> '{tasks[2]}' OR queue = 'a')")
        try:
            row = finish(engine.session, begin("move", to_queue="b", status="PENDING"))
        finally:
            engine.session.execute("ALTER TABLE tasks DROP CONSTRAINT refused")
        assert (row.state, row.touched, row.failed) == ("DONE", 4, 1)
        assert str(tasks[2]) in (row.error or "")

    def test_leaves_a_type_alone_that_whoever_asked_may_not_make_run(self, engine: Engine) -> None:
        shell = engine.create(type="SHELL", payload={"command": "true"})
        dummy = engine.create()
        finish(engine.session, begin(status="PENDING"))
        row = finish(engine.session, begin("retry", barred=frozenset({"SHELL"}), status="CANCELLED"))
        assert (row.touched, row.skips) == (1, {"TYPE_NOT_ALLOWED": 1})
        assert engine.statuses([shell, dummy]) == ["CANCELLED", "PENDING"]


def piece_beside(session: Session) -> Piece | None:
    return do_piece(session, Steady(100), condition_of_filter)


class TestPace:
    def test_follows_how_long_a_piece_took(self) -> None:
        pace = Pace(100)
        pace.note(2 * pieces.AIM)
        assert pace.size == 50
        pace.note(0.001)
        assert pace.size == 100
        for _ in range(9):
            pace.note(0.0001)
        assert pace.size == pieces.MOST
        pace.note(1000)
        assert pace.size == 1

    def test_takes_no_more_at_once_than_a_part_of_the_rate(self) -> None:
        assert [Pace(200).size_for(rate) for rate in (None, 1, 400, 20_000)] == [200, 1, 100, 200]


class TestRate:
    def test_holds_over_schedulers_and_makes_up_for_no_outage(self, engine: Engine) -> None:
        """The instant when the next piece is due is kept with the operation."""
        engine.create_many(30)
        operation_id = begin(status="PENDING", rate=40)
        engine.session.execute("UPDATE bulk_operations SET due_at = now() - interval '1 hour'")
        done = piece_beside(engine.session)
        assert done is not None and done.touched == 10
        eventually(lambda: piece_beside(engine.session) is not None, interval=0.001)
        [(due_in,)] = engine.session.fetch("SELECT extract(epoch FROM due_at - now())::float FROM bulk_operations")
        assert 0.1 < due_in <= 0.25, "an hour was not made up for"
        assert row_of(operation_id).touched == 20


class TestTakeBulkOperation:
    def test_takes_the_one_that_is_due_first_and_passes_by_what_others_have(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        engine.create()
        first, second, stopped = (begin(status="PENDING") for _ in range(3))
        acting.stop(stopped, actor="x")
        engine.session.execute("UPDATE bulk_operations SET due_at = now() - interval '1 s' WHERE id = %s", [first])
        other = open_session()
        with transaction(engine.session), transaction(other):
            for session, expected in ((engine.session, first), (other, second)):
                taken = take_bulk_operation(session)
                assert taken is not None and taken.id == expected

    def test_takes_none_before_it_is_due(self, engine: Engine) -> None:
        begin(status="PENDING")
        engine.session.execute("UPDATE bulk_operations SET due_at = now() + interval '50 s'")
        assert take_bulk_operation(engine.session) is None

    def test_is_not_kept_by_a_clock_that_was_set_back(self, engine: Engine) -> None:
        begin(status="PENDING")
        engine.session.execute("UPDATE bulk_operations SET due_at = now() + interval '1 hour'")
        assert take_bulk_operation(engine.session) is not None


class TestFindMatching:
    def test_finds_the_next_ones_and_those_that_were_held(self, engine: Engine) -> None:
        tasks = engine.create_many(4, queue="a")
        begin(queue="a")
        with transaction(engine.session):
            taken = take_bulk_operation(engine.session)
            assert taken is not None
            taken = taken._replace(position=tasks[1], held=[tasks[0]])
            condition = condition_of_filter(taken.filter)
            found = find_matching(engine.session, taken, condition, size=1, window=100)
            assert (found.ids, found.position) == ([tasks[0], tasks[2]], tasks[2])
            found = find_matching(engine.session, taken, condition, size=9, window=2)
            assert (found.ids, found.position) == ([tasks[0], *tasks[2:]], tasks[3])
            found = find_matching(engine.session, taken, condition, size=9, window=9)
            assert found.position is None


class TestPlans:
    @pytest.mark.parametrize("analyzed", [False, True])
    def test_of_a_look_touch_no_more_rows_than_its_window(
        self, engine: Engine, new_tables: None, analyzed: bool
    ) -> None:
        """However few match, and whatever the planner knows."""
        engine.create_many(3000)
        if analyzed:
            engine.session.execute("ANALYZE tasks")
        operation_id = begin(status=["FAILED", "PENDING"])
        engine.session.execute("UPDATE bulk_operations SET position = %s WHERE id = %s", [UUID(int=0), operation_id])
        with transaction(engine.session):
            taken = take_bulk_operation(engine.session)
            assert taken is not None
            for wanted in ({"queue": "none"}, {"status": ["FAILED"]}, {"status": ["PENDING"]}):
                plan = look_explained(engine.session, taken, wanted, size=10, window=100)
                assert not plan.scanned, wanted
                assert plan.touched <= 2 * 100 + 10, wanted


def look_explained(session: Session, taken: Taken, wanted: dict[str, Any], *, size: int, window: int) -> Plan:
    condition = condition_of_filter(wanted)
    text = condition.put_into(statement("find_matching"))
    parameters = {"held": [], "position": taken.position, "before": taken.before, "size": size, "window": window}
    explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {text}".encode()
    [(found,)] = session.connection.execute(explain, parameters | condition.parameters).fetchall()
    plan = Plan()
    plan.read((json.loads(found) if isinstance(found, str) else found)[0]["Plan"])
    return plan


class TestLockMatching:
    def test_waits_for_nobody_and_looks_again(self, engine: Engine, open_session: OpenSession) -> None:
        tasks = engine.create_many(3, queue="a")
        engine.session.execute("UPDATE tasks SET queue = 'b' WHERE id = %s", [tasks[0]])
        condition = condition_of_filter({"queue": "a"})
        with locked(open_session(), "tasks", "id", tasks[1]), transaction(engine.session):
            rows = lock_matching(engine.session, tasks, condition)
        assert [row.id for row in rows] == [tasks[2]]


class TestAdvanceBulkOperation:
    def test_changes_no_operation_that_was_stopped(self, engine: Engine) -> None:
        engine.create()
        operation_id = begin(status="PENDING")
        taken = take_bulk_operation(engine.session)
        assert taken is not None
        acting.stop(operation_id, actor="x")
        late = Piece(taken.id, taken.deed.action, taken.position, OperationState.DONE, touched=5)
        with pytest.raises(ValueError, match="unpack"):
            advance_bulk_operation(engine.session, taken, late, rest=0)
        assert counts(operation_id) == ("STOPPED", 1, 0, {})


class TestAgainstOthers:
    def test_a_stop_waits_for_the_piece_and_counts_it(self, engine: Engine, open_session: OpenSession) -> None:
        engine.create_many(4)
        operation_id = begin(status="PENDING")
        watcher = open_session()
        with transaction(engine.session):
            done = piece(engine.session, size=2)
            assert done is not None and done.touched == 2
            stopping = rival(lambda: acting.stop(operation_id, actor="x"))
            stopping.waits(watcher)
        row = stopping.answer()
        assert (row.state, row.touched) == ("STOPPED", 2)
        assert piece(engine.session) is None
        assert acting.resume(operation_id, actor="x", barred=()).state == "RUNNING"
        assert finish(engine.session, operation_id).touched == 4

    def test_a_start_beside_it_and_a_cancel_never_both_win(self, engine: Engine, open_session: OpenSession) -> None:
        worker = engine.worker(slots=1)
        task_id = engine.assigned(worker)
        operation_id = begin(status="SCHEDULED")
        other = open_session()
        with transaction(other):
            found = other.fetch("SELECT 1 FROM tasks WHERE id = %s FOR NO KEY UPDATE", [task_id])
            assert found
            held = piece(engine.session)
            assert held is not None and held.held == [task_id], "it waited for no worker"
        assert len(engine.start(worker)) == 1
        assert finish(engine.session, operation_id).done == 0, "it runs, and what runs was not asked for"
        assert engine.task(task_id).status == "RUNNING"

    def test_retention_meanwhile_takes_away_what_it_held(self, engine: Engine, open_session: OpenSession) -> None:
        [task_id] = engine.create_many(1)
        finish(engine.session, begin(status="PENDING"))
        operation_id = begin("retry", status="CANCELLED")
        with locked(open_session(), "tasks", "id", task_id):
            piece(engine.session)
        engine.session.execute("DELETE FROM tasks WHERE id = %s", [task_id])
        row = finish(engine.session, operation_id)
        assert (row.state, row.count, row.done) == ("DONE", 1, 0)

    def test_two_schedulers_share_an_operation(self, engine: Engine, open_session: OpenSession) -> None:
        tasks = engine.create_many(40)
        operation_id = begin(status="PENDING")

        def work(session: Session) -> int:
            touched = 0
            while row_of(operation_id).state == "RUNNING":
                done = piece(session, size=3)
                touched += done.touched if done else 0
            return touched

        others = [rival_on(session, work) for session in (open_session(), open_session())]
        assert sum(each.answer(30) for each in others) == 40
        assert counts(operation_id) == ("DONE", 40, 40, {})
        assert AuditEvent.objects.filter(action="task.cancelled", task_id__in=tasks).count() == 40
