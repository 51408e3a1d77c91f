"""When a batch is done: not before its last row has ended, whoever ends it and however; then once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from tasks_app import services, wakeups
from tasks_app.acts import BulkAction, Target
from tasks_app.fields import NewTask
from tasks_app.many import Deed, change
from tasks_app.models import Task
from tasks_app.parents import WholeBatch
from tasks_app.sessions import Session
from tasks_app.starting import Attempt
from tasks_app.states import Gate
from tests.factories import make_batch
from tests.support.batches import add, dummy, made_for, make, settled, status, tasks_of
from tests.support.engine import FAILED_FOR_GOOD, SUCCEEDED, UNRUN, Engine, endings, in_seconds
from tests.support.races import held_after_its_look, locked, looks_held, rival_on
from tests.support.races import transaction as begun
from tests.support.schedulers import stepped_scheduler
from workers_app.recorder import finish_attempts
from workflows_app import batches
from workflows_app.batch_endings import (
    clear_batches,
    count_failures,
    end_batches,
    judge_batches,
    lock_batches,
    look_at_batches,
    stop_batches,
    stop_waiting,
    watch_batches,
)
from workflows_app.endings import settle_endings
from workflows_app.models import Batch
from workflows_app.new_batches import FailFast

OpenSession = Callable[[], Session]
LATER = in_seconds(3600)


def end(engine: Engine, *task_ids: UUID, outcome: Any = SUCCEEDED) -> None:
    """These tasks run now, and end so; others that are due stay assigned until their worker is lost."""
    worker = engine.worker(slots=100)
    engine.assign()
    for attempt in engine.start(worker):
        if attempt.task_id in task_ids:
            engine.finish(worker, attempt, outcome)
    engine.lose(worker)


def finish(session: Session, worker: UUID, attempt: Attempt) -> None:
    """Over a session of its own, which may be in a transaction."""
    assert finish_attempts(session, worker, endings([attempt], SUCCEEDED)) == ["SUCCESS"]


def cancel(*task_ids: UUID) -> None:
    for task_id in task_ids:
        services.cancel_task(task_id, actor="test")


class TestDecideBatches:
    def test_is_done_when_its_last_task_has_ended_and_not_before(self, engine: Engine) -> None:
        batch = make(dummy(), dummy())
        first, second = tasks_of(batch)
        end(engine, first)
        settled(engine)
        assert (status(batch), made_for(batch)) == ("RUNNING", [])
        end(engine, second)
        report = settled(engine)
        assert (status(batch), report.left) == ("SUCCESS", False)
        assert made_for(batch) == ["onComplete", "onSuccess"]
        assert engine.violations() == {}

    def test_without_tasks_is_done_at_once(self, engine: Engine) -> None:
        batch = make()
        settled(engine)
        assert (status(batch), made_for(batch)) == ("SUCCESS", ["onComplete", "onSuccess"])

    def test_is_not_done_while_it_is_open(self, engine: Engine) -> None:
        batch = make(open=True)
        settled(engine)
        end(engine, *add(batch, dummy()))
        settled(engine)
        assert status(batch) == "OPEN"
        batches.close_batch(batch.pk, actor="test")
        settled(engine)
        assert (status(batch), engine.violations()) == ("SUCCESS", {})

    @pytest.mark.parametrize("how", UNRUN)
    def test_whatever_ended_the_last_one(self, engine: Engine, how: str) -> None:
        batch = make(dummy(on_worker_lost="fail"))
        [task_id] = tasks_of(batch)
        engine.end_unrun(task_id, how)
        settled(engine)
        assert status(batch) == ("CANCELLED" if how == "cancelled" else "FAILED")
        assert made_for(batch) == (["onComplete"] if how == "cancelled" else ["onComplete", "onFailure"])

    def test_is_not_done_before_those_in_it_and_what_these_make(self, engine: Engine) -> None:
        outer = make(name="outer")
        inner = make(dummy(), parent=outer.pk, name="inner")
        settled(engine)
        assert (status(outer), status(inner)) == ("RUNNING", "RUNNING")
        end(engine, *tasks_of(inner), outcome=FAILED_FOR_GOOD)
        settled(engine)
        assert (status(outer), status(inner)) == ("RUNNING", "FAILED")
        made = tasks_of(outer)
        assert len(made) == 2
        end(engine, *made)
        settled(engine)
        assert status(outer) == "FAILED"
        assert engine.violations() == {}

    def test_in_which_nothing_but_a_batch_is_ends_after_it(self, engine: Engine) -> None:
        outer = make(follow_ups={})
        inner = make(dummy(), parent=outer.pk, follow_ups={})
        end(engine, *tasks_of(inner))
        settled(engine)
        assert (status(inner), status(outer)) == ("SUCCESS", "SUCCESS")

    def test_of_two_ends_at_once_the_later_round_sees_both(self, engine: Engine, open_session: OpenSession) -> None:
        """Each has the mark of one task. If neither saw the other's end, the batch would be open for ever."""
        batch = make(dummy(), dummy())
        first, second = tasks_of(batch)
        cancel(first)
        with begun(other := open_session()):
            lock_batches(other, [batch.pk])
            [look] = look_at_batches(other, [batch.pk]).fetchall()
            assert look.open
            cancel(second)
            blocked = settle_endings(engine.session)
            assert (blocked.cleared, blocked.batches, blocked.left) == (0, 0, True)
        settled(engine)
        assert (status(batch), made_for(batch)) == ("CANCELLED", ["onComplete"])

    def test_that_somebody_adds_to_is_left_alone(self, engine: Engine, open_session: OpenSession) -> None:
        batch = make(dummy())
        cancel(*tasks_of(batch))
        with begun(other := open_session()):
            other.execute("SELECT FROM batches WHERE id = %s FOR SHARE", [batch.pk])
            report = settle_endings(engine.session)
            assert (report.cleared, report.batches, report.left) == (0, 0, True)
        settled(engine)
        assert status(batch) == "CANCELLED"

    def test_lets_those_run_that_depend_on_all_of_it(self, engine: Engine) -> None:
        batch = make(dummy(), dummy())
        child = engine.create(depends_on=[WholeBatch(batch.pk)])
        saga = engine.create(depends_on=[WholeBatch(batch.pk)], run_if="any_failed")
        end(engine, *tasks_of(batch))
        assert engine.task(child).gate == Gate.DEPENDENCY
        assert engine.violations() == {}
        settled(engine)
        assert engine.task(child).gate == Gate.OPEN
        assert engine.statuses([child, saga]) == ["PENDING", "CANCELLED"]
        assert engine.violations() == {}

    def test_of_one_that_is_done_is_seen_at_once(self, engine: Engine) -> None:
        batch = make()
        settled(engine)
        child = engine.create(depends_on=[WholeBatch(batch.pk)])
        settled(engine)
        assert engine.task(child).gate == Gate.OPEN

    def test_what_cannot_be_made_keeps_nothing_from_being_done(self, engine: Engine) -> None:
        batch = make(dummy())
        Batch.objects.filter(pk=batch.pk).update(on_complete={"type": "LOST"})
        end(engine, *tasks_of(batch))
        settled(engine)
        assert (status(batch), made_for(batch)) == ("SUCCESS", ["onSuccess"])
        [[reason]] = engine.session.fetch("SELECT reason FROM audit_events WHERE action = 'batch.follow_up_refused'")
        assert reason.startswith("onComplete is refused: type: must be one of")


class TestEndsAtOnce:
    """The last two of a batch end in two transactions, of which neither sees the other. One of them is watched."""

    def test_the_watched_one_first(self, engine: Engine, open_session: OpenSession) -> None:
        """Its round sees the other one open, and cannot have it watched: it leaves the mark that it came for."""
        batch, worker, (other, watched) = self.two(engine)
        with begun(late := open_session()):
            finish(late, worker, other)
            engine.finish(worker, watched, SUCCEEDED)
            report = settle_endings(engine.session)
            assert (report.cleared, report.batches, report.left) == (0, 0, True)
        settled(engine)
        assert (status(batch), made_for(batch)) == ("SUCCESS", ["onComplete", "onSuccess"])

    def test_the_watched_one_last(self, engine: Engine, open_session: OpenSession) -> None:
        batch, worker, (other, watched) = self.two(engine)
        with begun(late := open_session()):
            finish(late, worker, watched)
            engine.finish(worker, other, SUCCEEDED)
            assert not settle_endings(engine.session).left
        settled(engine)
        assert (status(batch), engine.violations()) == ("SUCCESS", {})

    def test_while_a_round_has_the_other_one_watched(self, engine: Engine, open_session: OpenSession) -> None:
        batch, worker, (other, watched) = self.two(engine)
        engine.finish(worker, watched, SUCCEEDED)
        with begun(scheduler := open_session()):
            lock_batches(scheduler, [batch.pk])
            assert watch_batches(scheduler, [batch.pk], youngest=True) == [batch.pk]
            late = rival_on(open_session(), lambda session: finish(session, worker, other))
            late.waits(engine.session)
        late.answer()
        assert engine.task(other.task_id).has_dependents
        settled(engine)
        assert (status(batch), engine.violations()) == ("SUCCESS", {})

    def test_with_two_rounds_at_once(self, engine: Engine, open_session: OpenSession) -> None:
        batch, worker, (other, watched) = self.two(engine)
        engine.finish(worker, watched, SUCCEEDED)
        with begun(first := open_session()):
            lock_batches(first, [batch.pk])
            engine.finish(worker, other, SUCCEEDED)
            assert settle_endings(engine.session).left
            assert watch_batches(first, [batch.pk], youngest=True) == []
        settled(engine)
        assert (status(batch), made_for(batch)) == ("SUCCESS", ["onComplete", "onSuccess"])

    def two(self, engine: Engine) -> tuple[Batch, UUID, list[Attempt]]:
        batch = make(dummy(), dummy())
        worker = engine.worker(slots=2)
        engine.assign()
        found = sorted(engine.start(worker), key=lambda each: engine.task(each.task_id).has_dependents)
        assert [engine.task(each.task_id).has_dependents for each in found] == [False, True]
        return batch, worker, found


class TestHints:
    def test_go_out_for_what_is_watched_and_for_what_failed(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(dummy(), dummy(), dummy())
        hints: list[bool] = []
        monkeypatch.setattr(wakeups, "notify_schedulers", lambda session, *, ended: hints.append(ended))
        worker = engine.worker(slots=3)
        engine.assign()
        good, bad, watched = sorted(engine.start(worker), key=lambda each: each.task_id)
        sent = []
        for attempt, outcome in ((good, SUCCEEDED), (bad, FAILED_FOR_GOOD), (watched, SUCCEEDED)):
            engine.finish(worker, attempt, outcome)
            sent.append(len(hints))
        assert sent == [0, 1, 2]

    def test_that_were_lost_are_made_up_for_by_the_housekeeper(self, engine: Engine) -> None:
        batch = make()
        with stepped_scheduler() as scheduler:
            scheduler._housekeeper.round()
        assert status(batch) == "SUCCESS"


class TestLockBatches:
    def test_passes_over_what_somebody_holds(self, engine: Engine, open_session: OpenSession) -> None:
        held, free = make_batch(), make_batch()
        with locked(open_session(), "batches", "id", held.pk), begun(engine.session):
            assert lock_batches(engine.session, [held.pk, free.pk]).fetchall() == [(free.pk,)]


class TestLookAtBatches:
    def test_says_what_is_open(self, engine: Engine) -> None:
        done, idle, open_, busy = make_batch(status="SUCCESS"), make_batch(), make_batch(status="OPEN"), make(dummy())
        outer = make_batch()
        make_batch(parent_id=outer.pk)
        found = look_at_batches(engine.session, [each.pk for each in (done, idle, open_, busy, outer)]).fetchall()
        assert {look.id: look.open for look in found} == {
            idle.pk: False,
            open_.pk: True,
            busy.pk: True,
            outer.pk: True,
        }


class TestWatchBatches:
    def test_marks_one_task_and_no_second(self, engine: Engine) -> None:
        batch = self.unwatched(dummy(), dummy(priority=-1), dummy())
        for youngest in (True, False):
            assert watch_batches(engine.session, [batch.pk], youngest=youngest) == [batch.pk]
        assert self.marked(batch) == [tasks_of(batch)[1]]

    @pytest.mark.parametrize("youngest", [True, False])
    def test_the_one_that_would_start_last_of_a_side(self, engine: Engine, youngest: bool) -> None:
        batch = self.unwatched(*[dummy(priority=place) for place in range(101)])
        engine.session.execute("UPDATE tasks SET created_at = now() + priority * interval '1 second'")
        watch_batches(engine.session, [batch.pk], youngest=youngest)
        assert self.marked(batch) == [tasks_of(batch)[1 if youngest else 0]]

    def test_none_where_one_that_is_not_the_last_has_the_mark(self, engine: Engine) -> None:
        batch = self.unwatched(dummy(), dummy(priority=-1))
        first, _ = tasks_of(batch)
        Task.objects.filter(pk=first).update(has_dependents=True)
        assert watch_batches(engine.session, [batch.pk], youngest=True) == [batch.pk]
        assert self.marked(batch) == [first]

    def test_one_that_waits_before_one_that_a_worker_has(self, engine: Engine) -> None:
        batch = self.unwatched(dummy(), dummy())
        engine.worker()
        engine.assign(limit=1)
        watch_batches(engine.session, [batch.pk], youngest=True)
        assert [engine.task(each).worker_id for each in self.marked(batch)] == [None]

    def test_passes_over_what_somebody_holds(self, engine: Engine, open_session: OpenSession) -> None:
        batch = self.unwatched(dummy(), dummy())
        first, second = tasks_of(batch)
        with locked(open_session(), "tasks", "id", first, second):
            assert watch_batches(engine.session, [batch.pk], youngest=True) == []
        with locked(open_session(), "tasks", "id", second):
            assert watch_batches(engine.session, [batch.pk], youngest=True) == [batch.pk]
        assert self.marked(batch) == [first]

    def test_not_one_that_has_ended_meanwhile(self, engine: Engine, open_session: OpenSession) -> None:
        batch = self.unwatched(dummy())
        here, asked = "WHERE t.finished_at IS NULL", {"ids": [batch.pk], "youngest": True}
        with looks_held(open_session()):
            watching = rival_on(open_session(), lambda s: held_after_its_look(s, "watch_batches", here, asked))
            watching.waits(engine.session)
            cancel(*tasks_of(batch))
        assert (watching.answer(), self.marked(batch)) == ([], [])

    def test_needs_none_while_a_batch_in_it_is_open(self, engine: Engine) -> None:
        outer = self.unwatched(dummy())
        inner = make_batch(parent_id=outer.pk)
        assert watch_batches(engine.session, [outer.pk], youngest=True) == [outer.pk]
        assert self.marked(outer) == []
        assert watch_batches(engine.session, [inner.pk], youngest=True) == []

    def test_is_of_those_that_are_closed(self, engine: Engine) -> None:
        """Before, whatever ends in it, it is not done; and closing it leads to a look."""
        batch = make(open=True)
        add(batch, dummy(schedule_at=LATER))
        settled(engine)
        assert (Batch.objects.get(pk=batch.pk).look, self.marked(batch)) == (False, [])
        batches.close_batch(batch.pk, actor="test")
        settled(engine)
        assert (self.marked(batch), engine.violations()) == (tasks_of(batch), {})

    def unwatched(self, *new: NewTask) -> Batch:
        batch = make(*new)
        Task.objects.filter(batch_id=batch.pk).update(has_dependents=False)
        return batch

    def marked(self, batch: Batch) -> list[UUID]:
        return list(Task.objects.filter(batch_id=batch.pk, has_dependents=True).values_list("pk", flat=True))


class TestCountFailures:
    def test_goes_no_further_than_it_matters(self, engine: Engine) -> None:
        limited = make(*[dummy()] * 4, fail_fast=FailFast(2, percent=False))
        part = make(*[dummy()] * 4, fail_fast=FailFast(50, percent=True))
        end(engine, *tasks_of(limited)[:3], *tasks_of(part)[:1], outcome=FAILED_FOR_GOOD)
        found = {each.id: each for each in count_failures(engine.session, [limited.pk, part.pk])}
        assert found[limited.pk][1:] == (2, False, 2, 0)
        assert found[part.pk][1:] == (50, True, 1, 3)


class TestStopBatches:
    def test_stops_those_in_it_that_nobody_holds(self, engine: Engine, open_session: OpenSession) -> None:
        outer = make_batch(status="OPEN")
        free, held = make_batch(parent_id=outer.pk), make_batch(parent_id=outer.pk)
        make_batch(parent_id=outer.pk, status="SUCCESS")
        with locked(open_session(), "batches", "id", held.pk):
            assert set(stop_batches(engine.session, [outer.pk])) == {outer.pk, free.pk}
        assert status(outer) == "RUNNING"
        assert stop_batches(engine.session, [outer.pk]) == [held.pk]


class TestStopWaiting:
    def test_leaves_what_runs_or_is_held_and_takes_no_more_than_it_may(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        batch = make(*[dummy()] * 4)
        ids = tasks_of(batch)
        worker = engine.worker(slots=1)
        engine.assign(limit=1)
        [running] = engine.start(worker)
        waiting = [task_id for task_id in ids if task_id != running.task_id]
        with locked(open_session(), "tasks", "id", waiting[0]):
            assert stop_waiting(engine.session, [batch.pk]) == 2
        assert stop_waiting(engine.session, [batch.pk]) == 1
        assert engine.statuses([running.task_id, *waiting]) == ["RUNNING", *["CANCELLED"] * 3]
        assert stop_waiting(engine.session, [make(*[dummy()] * 3).pk], limit=2) == 2

    def test_gives_back_what_was_assigned_and_its_timeline_knows(self, engine: Engine) -> None:
        batch = make(dummy(), fail_fast=FailFast(1, percent=False))
        [task_id] = tasks_of(batch)
        engine.worker()
        engine.assign()
        assert stop_waiting(engine.session, [batch.pk]) == 1
        task = engine.task(task_id)
        assert (task.status, task.end_reason) == ("CANCELLED", "BATCH_FAILED")
        [[reason, detail]] = engine.session.fetch(
            "SELECT reason, detail FROM audit_events WHERE task_id = %s", [task_id]
        )
        assert (reason, "assignedAt" in detail) == (f"its batch {batch.pk} has failed fast", True)


class TestFailFast:
    @pytest.mark.parametrize("limit", [FailFast(2, percent=False), FailFast(40, percent=True)], ids=str)
    def test_cancels_what_waits_here_and_in_those_in_it(self, engine: Engine, limit: FailFast) -> None:
        batch = make(*[dummy()] * 2, *[dummy(schedule_at=LATER)] * 3, fail_fast=limit)
        inner = make(dummy(schedule_at=LATER), parent=batch.pk)
        first, second, *rest = tasks_of(batch)
        end(engine, first, outcome=FAILED_FOR_GOOD)
        settled(engine)
        assert set(engine.statuses(rest)) == {"PENDING"}
        end(engine, second, outcome=FAILED_FOR_GOOD)
        settled(engine)
        assert set(engine.statuses(rest)) == {"CANCELLED"}
        assert (status(inner), {engine.task(each).end_reason for each in rest}) == ("CANCELLED", {"BATCH_FAILED"})
        end(engine, *[each for each in tasks_of(batch) if each not in (first, second, *rest)])
        settled(engine)
        assert status(batch) == "FAILED"
        assert engine.violations() == {}

    @pytest.mark.parametrize("how", ["ran", "lost", "expired", "by hand", "never ran", "not approved"])
    def test_however_the_task_has_failed(self, engine: Engine, how: str) -> None:
        """None of these has the mark before: the watched one is the last."""
        above, later = engine.create(max_retries=0), engine.create(schedule_at=LATER)
        fields: dict[str, Any] = {"never ran": {"depends_on": [str(above)], "otherwise": "fail"}}.get(how, {})
        if how == "not approved":
            fields = {"approval": {"of": "scope:admin", "timeoutSeconds": 60, "onTimeout": "fail"}}
        batch = make(dummy(on_worker_lost="fail", **fields), dummy(schedule_at=LATER, depends_on=[str(later)]),
                     fail_fast=FailFast(1, percent=False))  # fmt: skip
        first, last = tasks_of(batch)
        assert [engine.task(each).has_dependents for each in (first, last)] == [False, True]
        self.fail(engine, first, above, how)
        settled(engine)
        assert (engine.task(first).status, engine.task(last).end_reason) == ("FAILED", "BATCH_FAILED")
        assert (status(batch), engine.violations()) == ("FAILED", {})

    def fail(self, engine: Engine, task_id: UUID, above: UUID, how: str) -> None:
        if how == "ran":
            end(engine, task_id, outcome=FAILED_FOR_GOOD)
        elif how == "by hand":
            with transaction.atomic(), connection.cursor() as cursor:
                change(cursor, Deed(BulkAction.EXPIRE, Target(), "test", ""), [task_id])
        elif how == "never ran":
            cancel(above)
        elif how == "not approved":
            engine.move(task_id, approval_ends_at=-timedelta(minutes=1))
            engine.session.rows("time_out_approvals", {"limit": 10})
        else:
            cancel(above)
            engine.end_unrun(task_id, how)


class TestCancelled:
    def test_is_done_when_what_ran_has_ended(self, engine: Engine) -> None:
        batch = make(dummy(), dummy(schedule_at=LATER))
        inner = make(dummy(schedule_at=LATER), parent=batch.pk, open=True)
        runs, waits = tasks_of(batch)
        worker = engine.worker()
        engine.assign()
        [attempt] = engine.start(worker)
        batches.cancel_batch(batch.pk, actor="test")
        settled(engine)
        assert engine.statuses([runs, waits]) == ["RUNNING", "CANCELLED"]
        assert (status(batch), status(inner)) == ("RUNNING", "CANCELLED")
        engine.finish(worker, attempt, SUCCEEDED)
        settled(engine)
        made = [each for each in tasks_of(batch) if each not in (runs, waits)]
        end(engine, *made)
        settled(engine)
        assert (status(batch), engine.violations()) == ("CANCELLED", {})

    def test_with_an_empty_open_one_in_it_that_is_looked_at_in_the_same_round(self, engine: Engine) -> None:
        outer = make(open=True, follow_ups={})
        inner = make(parent=outer.pk, open=True, follow_ups={})
        batches.cancel_batch(outer.pk, actor="test")
        settled(engine)
        assert (status(inner), status(outer)) == ("CANCELLED", "CANCELLED")

    def test_in_more_rounds_than_one(self, engine: Engine) -> None:
        batch = make(*[dummy(schedule_at=LATER)] * 1500)
        batches.cancel_batch(batch.pk, actor="test")
        settled(engine)
        assert (status(batch), Task.objects.filter(batch_id=batch.pk, status="CANCELLED").count()) == (
            "CANCELLED",
            1500,
        )


class TestJudgeBatches:
    def verdict(self, engine: Engine, batch: Batch) -> tuple[bool, bool]:
        [judged] = judge_batches(engine.session, [batch.pk])
        return judged.failed, judged.cancelled

    def test_a_task_that_was_not_needed_counts_for_nothing(self, engine: Engine) -> None:
        batch = make(dummy(), name="saga")
        [work] = tasks_of(batch)
        [undo] = add(batch, dummy(depends_on=[str(work)], run_if="any_failed"))
        [after] = add(batch, dummy(depends_on=[str(undo)]))
        end(engine, work)
        settled(engine)
        assert engine.statuses([undo, after]) == ["CANCELLED", "CANCELLED"]
        assert self.verdict(engine, batch) == (False, False)
        assert status(batch) == "SUCCESS"

    def test_one_that_never_ran_for_something_outside_counts(self, engine: Engine) -> None:
        outside = engine.create(max_retries=0)
        batch = make(dummy(depends_on=[str(outside)]))
        end(engine, outside, outcome=FAILED_FOR_GOOD)
        settled(engine)
        assert (self.verdict(engine, batch), status(batch)) == ((False, True), "CANCELLED")

    def test_the_batches_in_it_count(self, engine: Engine) -> None:
        outer = make_batch()
        assert self.verdict(engine, outer) == (False, False)
        make_batch(parent_id=outer.pk, status="CANCELLED")
        make_batch(parent_id=outer.pk, status="FAILED")
        assert self.verdict(engine, outer) == (True, True)


class TestEndBatches:
    def test_ends_each_once_under_the_next_number(self, engine: Engine) -> None:
        batch = make_batch(completion=3)
        [done] = end_batches(engine.session, [batch.pk], ["FAILED"])
        assert (done.status, done.completion) == ("FAILED", 4)
        assert end_batches(engine.session, [batch.pk], ["SUCCESS"]) == []
        assert status(batch) == "FAILED"


class TestClearBatches:
    def test_keeps_the_mark_of_a_done_one_whose_outer_one_was_not_looked_at(self, engine: Engine) -> None:
        outer = make_batch()
        inner = make_batch(parent_id=outer.pk, status="SUCCESS", has_dependents=True)
        assert clear_batches(engine.session, looked=[], done=[inner.pk], held=[inner.pk]) == 0
        assert clear_batches(engine.session, looked=[], done=[], held=[inner.pk, outer.pk]) == 0
        assert clear_batches(engine.session, looked=[], done=[inner.pk], held=[inner.pk, outer.pk]) == 1

    def test_keeps_the_one_that_says_look_while_something_is_left_to_stop(self, engine: Engine) -> None:
        batch = make(dummy(schedule_at=LATER))
        Batch.objects.filter(pk=batch.pk).update(stopping=True, look=True)
        asked = {"looked": [batch.pk], "done": [], "held": [batch.pk]}
        assert clear_batches(engine.session, **asked) == 0
        stop_waiting(engine.session, [batch.pk])
        assert clear_batches(engine.session, **{**asked, "looked": []}) == 0
        assert clear_batches(engine.session, **asked) == 1
