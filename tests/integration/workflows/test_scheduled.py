"""Schedules that make batches: each slot one batch, whoever and how many make passes, wherever one of them dies."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from access_app.audit import about
from access_app.database_faults import DatabaseAway
from access_app.idempotency import Idempotency
from access_app.ids import created_at
from schedules_app import batches as decided
from schedules_app import making, manual_runs, templates
from schedules_app.batch_templates import batch_id_of
from schedules_app.firing import fire_due
from schedules_app.models import Schedule, ScheduleFire
from schedules_app.outcomes import failed_in_a_row
from schedules_app.selectors import Health, conditions_of, why
from tasks_app.bounds import QueueFull
from tasks_app.edges import edges_of, join_of
from tasks_app.models import Task
from tasks_app.sessions import Session
from tasks_app.states import Gate
from tests.factories import make_batch
from tests.support.batches import settled
from tests.support.engine import FAILED_FOR_GOOD, SUCCEEDED, Engine
from tests.support.races import rival_on
from tests.support.races import transaction as transaction_of
from tests.support.scheduled import FAN_IN, ONE, batch_schedule, batches_of, members_of
from tests.support.schedules import MINUTE, ledger, make_schedule, states, tasks_of, whole_now
from workflows_app import scheduled
from workflows_app.models import Batch
from workflows_app.retention import delete_ended_batches
from workflows_app.scheduled import make_batches, member_id
from workflows_app.templates import read_template

OpenSession = Callable[[], Session]
HOUR = timedelta(hours=1)


class TestFire:
    def test_makes_the_batch_with_its_tasks_beside_the_row_of_the_slot(self, session: Session) -> None:
        schedule = batch_schedule(FAN_IN)
        report = fire_due(session)
        [batch], [row] = batches_of(schedule), ledger(schedule)
        assert (report.tasks, row.state, row.batch_id, row.task_id) == (1, "FIRED", batch.pk, None)
        assert (batch.scheduled_for, batch.created_at, batch.name) == (row.slot, row.slot, "etl")
        assert (batch.status, batch.created_by, batch.fail_fast) == ("RUNNING", f"schedule:{schedule.name}", 50)
        assert (batch.fail_fast_is_percent, batch.on_failure["queue"], batch.on_complete) == (True, "alarm", None)
        eu, load, us = members_of(batch)
        assert (eu.type, eu.gate, us.priority, us.queue) == ("DUMMY", Gate.OPEN, 3, "us")
        assert (load.gate, {edge.parent_id for edge in edges_of(load.pk)}) == (Gate.DEPENDENCY, {eu.pk, us.pk})
        assert load.payload["body"] == {"$from": str(eu.pk)}
        assert {task.created_by for task in (eu, load, us)} == {batch.created_by}
        assert {task.run_at for task in (eu, us)} == {row.decided_at}
        assert {task.scheduled_for for task in (eu, load, us)} == {row.slot}
        assert tasks_of(schedule) == []

    def test_gives_ids_that_follow_from_the_slot(self, session: Session) -> None:
        schedule = batch_schedule(FAN_IN)
        fire_due(session)
        [batch] = batches_of(schedule)
        assert batch.pk == batch_id_of(schedule.pk, batch.scheduled_for)
        assert {task.pk for task in members_of(batch)} == {member_id(batch.pk, place) for place in range(3)}
        assert created_at(batch.pk) == batch.scheduled_for

    def test_makes_nothing_for_a_slot_that_was_forgotten_while_its_batch_is_there(self, session: Session) -> None:
        """Whatever else happened: the id decides behind the ledger."""
        schedule = batch_schedule(overlap="allow")
        fire_due(session)
        ScheduleFire.objects.all().delete()
        Schedule.objects.update(next_slot=schedule.next_slot, next_fire_at=schedule.next_slot)
        fire_due(session)
        assert (len(batches_of(schedule)), Task.objects.count(), states(schedule)) == (1, 1, ["FIRED"])

    def test_by_many_at_once_makes_each_batch_once(self, session: Session, open_session: OpenSession) -> None:
        schedules = [batch_schedule(FAN_IN, due=3, misfire_policy="run_all", overlap="allow") for _ in range(6)]
        with ThreadPoolExecutor(4) as pool:
            for _ in range(2):
                list(pool.map(lambda each: fire_due(each, limit=2), [open_session() for _ in range(4)]))
        while fire_due(session).schedules:
            pass
        assert [len(batches_of(schedule)) for schedule in schedules] == [3] * 6
        assert (ScheduleFire.objects.count(), Task.objects.count()) == (18, 54)

    @pytest.mark.parametrize("place", ["before", "batches", "COPY", "after"])
    def test_that_dies_leaves_nothing_and_is_made_up_for(
        self, session: Session, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        schedule, dying = batch_schedule(FAN_IN), open_session()
        pid = dying.connection.info.backend_pid

        def killing(before: Any) -> Any:
            def call(*args: Any) -> Any:
                done = before(*args)
                session.fetch("SELECT pg_terminate_backend(%s, 5000)", [pid])
                return done

            return call

        module, name = {
            "before": (making.Making, "make_way"),
            "batches": (scheduled, "make_batches"),
            "COPY": (scheduled, "store_tasks"),
            "after": (decided.Batch, "write"),
        }[place]
        monkeypatch.setattr(module, name, killing(getattr(module, name)))
        with pytest.raises(DatabaseAway):
            fire_due(dying)
        assert (ledger(schedule), Batch.objects.count(), Task.objects.count()) == ([], 0, 0)
        monkeypatch.undo()
        fire_due(dying)
        assert (states(schedule), Batch.objects.count(), Task.objects.count()) == (["FIRED"], 1, 3)

    def test_leaves_what_has_too_many_tasks_to_the_next_pass(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(templates, "MOST_IN_BATCHES", 6)
        monkeypatch.setattr(making, "MOST_IN_BATCHES", 6)
        schedule = batch_schedule(FAN_IN, due=5, misfire_policy="run_all", overlap="allow")
        other = batch_schedule()
        reports = [fire_due(session) for _ in range(4)]
        assert [report.tasks for report in reports] == [2, 2, 2, 0]
        assert [report.more for report in reports] == [True, True, False, False]
        assert states(schedule) == ["LATE", "LATE", "LATE", "LATE", "FIRED"]
        assert [batch.scheduled_for for batch in batches_of(schedule)] == [fire.slot for fire in ledger(schedule)]
        assert len(batches_of(other)) == 1

    def test_that_is_refused_is_missed_and_told(self, session: Session) -> None:
        bad = batch_schedule({"name": "b", "tasks": [{"type": "GONE"}]}, overlap="cancel_running")
        fire_due(session)
        [row] = ledger(bad)
        assert (row.state, row.batch_id) == ("MISSED", None)
        assert "tasks.0.type: must be one of" in row.note

    def test_with_a_task_for_which_a_queue_is_full_is_missed(self, session: Session) -> None:
        session.execute("INSERT INTO queues (name, max_waiting) VALUES ('us', 0)")
        full, other = batch_schedule(FAN_IN, overlap="cancel_running"), batch_schedule()
        before = make_batch(schedule_id=full.pk)
        fire_due(session)
        [row] = ledger(full)
        assert (row.state, row.batch_id) == ("MISSED", None)
        assert "queue us is full" in row.note
        assert (Batch.objects.get(pk=before.pk).cancelled_at, states(other)) == (None, ["FIRED"])
        assert Schedule.objects.get(pk=full.pk).last_fire_at is None
        assert Task.objects.count() == 1


class TestOverlap:
    def test_skip_skips_while_a_batch_is_open(self, session: Session) -> None:
        schedule = batch_schedule(overlap="skip")
        batch = make_batch(schedule_id=schedule.pk)
        assert next(reason.code for reason in why(schedule)) == "OVERLAP"
        fire_due(session)
        [row] = ledger(schedule)
        assert (row.state, row.note) == ("SKIPPED_OVERLAP", f"batch {batch.pk} is open")

    def test_skip_counts_a_task_that_it_made_before_it_was_edited(self, engine: Engine) -> None:
        schedule, task = batch_schedule(overlap="skip"), engine.create()
        Task.objects.filter(pk=task).update(schedule_id=schedule.pk, scheduled_for=schedule.last_slot)
        fire_due(engine.session)
        assert ledger(schedule)[0].note == f"task {task} is open"

    def test_queue_one_lets_it_wait_until_the_one_before_has_ended_however(self, engine: Engine) -> None:
        schedule = batch_schedule(FAN_IN, due=2, overlap="queue_one", misfire_policy="run_all")
        fire_due(engine.session)
        first, second = batches_of(schedule)
        settled(engine)
        eu, load, us = members_of(second)
        for task in (eu, us):
            assert [(edge.parent_id, edge.of_batch) for edge in edges_of(task.pk)] == [(first.pk, True)]
            assert (task.gate, getattr(join_of(task.pk), "run_if", "")) == (Gate.DEPENDENCY, "all_done")
        assert len(edges_of(load.pk)) == 2
        Task.objects.filter(batch_id=first.pk).exclude(queue="us").delete()
        engine.run(members_of(first)[0].pk, FAILED_FOR_GOOD)
        settled(engine)
        assert Batch.objects.get(pk=first.pk).status == "FAILED"
        assert [task.gate for task in members_of(second)] == [Gate.OPEN, Gate.DEPENDENCY, Gate.OPEN]

    def test_cancel_running_ends_what_is_open_and_waits_for_its_end(self, engine: Engine) -> None:
        schedule = batch_schedule(overlap="cancel_running", due=1)
        open_batch, worker = make_batch(schedule_id=schedule.pk), engine.worker()
        running = engine.running(worker)
        waiting = engine.create()
        Task.objects.update(batch_id=open_batch.pk, has_dependents=True)
        report = fire_due(engine.session)
        assert report.stop == [worker]
        settled(engine)
        assert engine.task(waiting).status == "CANCELLED"
        assert engine.task(running.task_id).cancel_requested_at is not None
        new = batches_of(schedule)[-1]
        assert members_of(new)[0].gate == Gate.DEPENDENCY
        [event] = about(f"batch:{open_batch.pk}")
        assert (event.actor, event.reason) == (f"schedule:{schedule.name}", "its schedule starts the next one")
        engine.finish(worker, running, SUCCEEDED)
        settled(engine)
        assert Batch.objects.get(pk=open_batch.pk).status == "CANCELLED"
        assert members_of(new)[0].gate == Gate.OPEN

    def test_allow_runs_beside_it(self, session: Session) -> None:
        schedule = batch_schedule(overlap="allow")
        make_batch(schedule_id=schedule.pk)
        fire_due(session)
        assert members_of(batches_of(schedule)[-1])[0].gate == Gate.OPEN


class TestOutcome:
    def test_of_a_slot_is_the_end_of_its_batch(self, engine: Engine) -> None:
        schedule = batch_schedule(FAN_IN)
        fire_due(engine.session)
        [batch] = batches_of(schedule)
        Task.objects.filter(batch_id=batch.pk).exclude(queue="us").delete()
        engine.run(members_of(batch)[0].pk, FAILED_FOR_GOOD)
        settled(engine)
        [condition] = conditions_of([Schedule.objects.get(pk=schedule.pk)]).values()
        assert (condition.health, condition.failures) == (Health.FAILING, 1)
        assert Task.objects.filter(queue="alarm").count() == 1

    def test_counts_the_newest_of_batches_and_tasks(self, engine: Engine) -> None:
        schedule = batch_schedule()
        make_batch(schedule_id=schedule.pk, status="SUCCESS")
        for _ in range(2):
            make_batch(schedule_id=schedule.pk, status="FAILED")
        make_batch(schedule_id=schedule.pk, status="CANCELLED")
        make_batch(schedule_id=schedule.pk)
        assert failed_in_a_row([schedule.pk, make_schedule().pk]) == {schedule.pk: 2} | {
            each.pk: 0 for each in Schedule.objects.exclude(pk=schedule.pk)
        }


class TestByHand:
    def test_a_trigger_makes_a_batch_once_for_its_key(self, engine: Engine) -> None:
        schedule = batch_schedule(FAN_IN, due=0)
        key = Idempotency("k", b"f")
        first, again = (manual_runs.trigger_schedule(schedule.pk, actor="me", idempotency=key) for _ in range(2))
        [batch] = batches_of(schedule)
        assert (first, again) == (manual_runs.CreatedBatch(batch.pk), manual_runs.CreatedBatch(batch.pk, replayed=True))
        [row] = ledger(schedule)
        assert (row.batch_id, row.state, row.note) == (batch.pk, "FIRED", "triggered by me")
        assert (batch.created_by, batch.idempotency_key, len(members_of(batch))) == ("me", "k", 3)

    def test_a_trigger_waits_for_nothing_and_a_backfill_for_what_is_open(self, engine: Engine) -> None:
        schedule = batch_schedule(due=3, every=HOUR, late=HOUR / 2, misfire_policy="skip", overlap="skip")
        fire_due(engine.session)
        slots = [fire.slot for fire in ledger(schedule)]
        manual_runs.trigger_schedule(schedule.pk, actor="me")
        done = manual_runs.backfill_schedule(schedule.pk, since=slots[0], until=slots[-1], actor="me", priority=-5)
        assert ([slot for slot, _ in done.made], done.of_batches, done.more) == (slots, True, False)
        *filled, triggered = batches_of(schedule)
        assert [batch.pk for batch in filled] == [made for _, made in done.made]
        assert members_of(triggered)[0].gate == Gate.OPEN
        waits = [edges_of(members_of(batch)[0].pk)[0].parent_id for batch in filled]
        assert waits == [triggered.pk, filled[0].pk, filled[1].pk]
        assert {members_of(batch)[0].priority for batch in filled} == {-5}
        assert manual_runs.backfill_schedule(schedule.pk, since=slots[0], until=slots[-1], actor="me").made == []

    def test_a_backfill_makes_no_more_tasks_than_one_transaction_takes(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(templates, "MOST_IN_BATCHES", 7)
        schedule = batch_schedule(FAN_IN, due=3, every=HOUR, late=HOUR / 2, misfire_policy="skip")
        fire_due(engine.session)
        done = manual_runs.backfill_schedule(schedule.pk, since=whole_now() - 9 * HOUR, until=whole_now(), actor="me")
        assert (len(done.made), done.more) == (2, True)

    def test_is_refused_as_a_whole_when_a_queue_is_full(self, session: Session) -> None:
        session.execute("INSERT INTO queues (name, max_waiting) VALUES ('us', 0)")
        schedule = batch_schedule(FAN_IN, due=0)
        with pytest.raises(QueueFull, match="queue us is full"):
            manual_runs.trigger_schedule(schedule.pk, actor="me")
        assert (Batch.objects.count(), ledger(schedule)) == (0, [])


class TestMakeBatches:
    def test_of_two_at_once_makes_each_once(self, session: Session, open_session: OpenSession) -> None:
        schedule, other = batch_schedule(), open_session()
        slot = templates.new_slot(
            schedule, read_template(ONE), whole_now() - MINUTE, created_by="test", now=whole_now()
        )
        with transaction_of(other), other.connection.cursor() as first:
            assert make_batches(first, [slot]) == {slot.id}
            later = rival_on(session, lambda on: make_batches(on.connection.cursor(), [slot]))
            later.waits(open_session())
        assert later.answer() == set()
        assert Batch.objects.count() == 1


class TestRetention:
    def test_forgets_its_batches_and_not_their_rows_in_the_ledger(self, session: Session) -> None:
        schedule = batch_schedule()
        make_batch(schedule_id=schedule.pk, status="SUCCESS", finished_at=whole_now() - timedelta(days=400))
        assert delete_ended_batches(session) == 1
        assert batches_of(schedule) == []
