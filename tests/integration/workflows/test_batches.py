"""What may be asked of batches, and what of it is refused; running again what failed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction

from access_app.ids import new_task_ids
from access_app.rights import Refused
from flow_app.queues import edit_queue
from tasks_app import services
from tasks_app.acts import BulkAction, Target
from tasks_app.edges import TaskEdge, hold_batches
from tasks_app.fields import NewTask
from tasks_app.many import Deed, change
from tasks_app.models import Task, TaskExecution
from tasks_app.new_tasks import InvalidTask
from tasks_app.parents import WholeBatch
from tasks_app.rerunning import find_failed_below, lock_batches_of, reopen_batches, rerun_tasks
from tasks_app.sessions import Session
from tasks_app.states import Gate
from tests.factories import make_batch, make_task
from tests.integration.workflows.test_batch_endings import LATER, cancel, end
from tests.support.batches import add, dummy, made_for, make, members, settled, status, tasks_of
from tests.support.engine import FAILED_FOR_GOOD, Engine
from tests.support.races import locked, rival
from workflows_app import batches
from workflows_app.batch_table import MAX_DEPTH, Batch
from workflows_app.batches import BatchDone, find_circle, find_failed_in, join_batch
from workflows_app.endings import settle_endings
from workflows_app.new_batches import FailFast, InvalidBatch

OpenSession = Callable[[], Session]


def anything(types: Collection[str]) -> None:
    """Everybody may run everything."""


def retry(batch: Batch, **options: Any) -> int:
    return batches.retry_batch(batch.pk, actor="test", **{"allow": anything, **options})[1]


class TestAddTasks:
    @pytest.mark.parametrize("state", ["SUCCESS", "FAILED", "CANCELLED"])
    def test_is_refused_when_it_is_done(self, engine: Engine, state: str) -> None:
        with pytest.raises(BatchDone, match=f"the batch is {state} and takes no more"):
            add(make_batch(status=state), dummy())
        assert not Task.objects.exists()

    def test_is_refused_when_it_stops(self, engine: Engine) -> None:
        with pytest.raises(BatchDone, match="was cancelled, or has failed fast"):
            add(make_batch(stopping=True), dummy())

    def test_waits_for_a_round_and_sees_what_it_made_of_the_batch(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        batch, watcher = make(), open_session()
        with locked(other := open_session(), "batches", "id", batch.pk):
            adding = rival(lambda: add(batch, dummy()))
            adding.waits(watcher)
            other.execute("UPDATE batches SET status = 'SUCCESS', finished_at = now() WHERE id = %s", [batch.pk])
        with pytest.raises(BatchDone):
            adding.answer()

    def test_two_may_add_at_once(self, engine: Engine) -> None:
        batch = make(open=True)
        with transaction.atomic():
            add(batch, dummy())
            assert len(rival(lambda: add(batch, dummy())).answer()) == 1
        assert len(tasks_of(batch)) == 2

    def test_keeps_the_batch_from_being_done_meanwhile(self, engine: Engine) -> None:
        batch = make(dummy())
        with transaction.atomic():
            add(batch, dummy(schedule_at=LATER))
            cancel_all = rival(lambda: cancel(*tasks_of(batch)[:1]))
            cancel_all.answer()
            assert settle_endings(engine.session).batches == 0
        settled(engine)
        assert status(batch) == "RUNNING"


class TestJoinBatch:
    def test_says_whether_anybody_waits_for_it_or_for_those_around_it(self, engine: Engine) -> None:
        outer = make_batch(has_dependents=True)
        inner, other = make_batch(parent_id=outer.pk, depth=1), make_batch()
        with transaction.atomic(), connection.cursor() as cursor:
            found = [join_batch(cursor, each) for each in (inner.pk, other.pk, uuid4())]
        assert [joined and (joined.depth, joined.awaited) for joined in found] == [(1, True), (0, False), None]


class TestCreateBatch:
    def test_lies_in_one_that_takes_more(self, engine: Engine) -> None:
        with pytest.raises(BatchDone):
            make(parent=make_batch(status="SUCCESS").pk)
        with pytest.raises(InvalidBatch) as refused:
            make(parent=uuid4())
        assert list(refused.value.problems) == ["parentBatchId"]

    def test_lies_no_deeper_than_it_may(self, engine: Engine) -> None:
        with pytest.raises(InvalidBatch) as refused:
            make(parent=make_batch(depth=MAX_DEPTH).pk)
        assert refused.value.problems == {"parentBatchId": f"must not lie in more than {MAX_DEPTH} batches"}
        assert make(parent=make_batch(depth=MAX_DEPTH - 1).pk).depth == MAX_DEPTH


class TestHoldBatches:
    def test_marks_those_that_are_waited_for_and_locks_those_around(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        outer = make_batch()
        own, awaited = make_batch(parent_id=outer.pk), make_batch()
        with transaction.atomic(), connection.cursor() as cursor:
            [found] = hold_batches(cursor, [awaited.pk, uuid4()], own.pk)
            assert (found.id, found.ended) == (awaited.pk, False)
            for each in (outer, own, awaited):
                rows = open_session().fetch("SELECT id FROM batches WHERE id = %s FOR SHARE SKIP LOCKED", [each.pk])
                assert rows == []
        marks = dict(Batch.objects.values_list("pk", "has_dependents"))
        assert marks == {outer.pk: False, own.pk: False, awaited.pk: True}

    def test_keeps_the_mark_of_a_done_one_until_the_edges_are_there(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        batch = make()
        settled(engine)
        with transaction.atomic():
            child = engine.create(depends_on=[WholeBatch(batch.pk)])
            report = settle_endings(open_session())
            assert (report.edges, report.cleared) == (0, 0)
        settled(engine)
        assert engine.task(child).gate == Gate.OPEN


class TestFindCircle:
    def test_of_a_task_that_waits_for_its_own_batch(self, engine: Engine) -> None:
        outer = make(open=True)
        inner = make(open=True, parent=outer.pk)
        for batch in (inner, outer):
            with pytest.raises(InvalidTask) as refused:
                add(inner, dummy(depends_on=[WholeBatch(batch.pk)]))
            assert "would wait for itself" in refused.value.problems["dependsOn"]

    def test_over_others(self, engine: Engine) -> None:
        outer = make(open=True)
        inner, other = make(open=True, parent=outer.pk), make(open=True)
        after = engine.create(depends_on=[WholeBatch(outer.pk)])
        add(other, dummy(depends_on=[str(after)]))
        with pytest.raises(InvalidTask):
            add(inner, dummy(depends_on=[str(after)]))
        with pytest.raises(InvalidTask):
            add(inner, dummy(depends_on=[WholeBatch(other.pk)]))
        with pytest.raises(InvalidTask):
            make(dummy(depends_on=[WholeBatch(other.pk)]), parent=inner.pk)
        add(inner, dummy(depends_on=[str(engine.create())]))

    def test_also_where_the_edge_has_been_settled(self, engine: Engine) -> None:
        """A retry opens it again."""
        batch = make(dummy())
        after = engine.create(depends_on=[WholeBatch(batch.pk)], max_retries=0)
        end(engine, *tasks_of(batch), outcome=FAILED_FOR_GOOD)
        settled(engine)
        retry(batch)
        with pytest.raises(InvalidTask):
            add(batch, dummy(depends_on=[str(after)]))

    def test_also_after_a_task_of_it_was_retried_alone(self, engine: Engine) -> None:
        """Nobody waits for it at that time; whoever did would, once all is retried."""
        batch = make(dummy())
        after = engine.create(depends_on=[WholeBatch(batch.pk)])
        [task_id] = tasks_of(batch)
        end(engine, task_id, outcome=FAILED_FOR_GOOD)
        settled(engine)
        services.retry_task(task_id, actor="test")
        with pytest.raises(InvalidTask):
            add(batch, dummy(depends_on=[str(after)], run_if="all_done"))

    def test_takes_turns(self, engine: Engine, open_session: OpenSession) -> None:
        batch, watcher = make(open=True), open_session()
        engine.create(depends_on=[WholeBatch(batch.pk)])
        parent = str(engine.create())
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(batches._LOCK_CIRCLES)
            adding = rival(lambda: add(batch, dummy(depends_on=[parent])))
            adding.waits(watcher)
            assert not find_circle(cursor, batch.pk, [UUID(parent)])
        assert len(adding.answer()) == 1


class TestCloseBatch:
    def test_of_a_done_one_is_refused_and_of_a_running_one_changes_nothing(self, engine: Engine) -> None:
        with pytest.raises(BatchDone):
            batches.close_batch(make_batch(status="FAILED").pk, actor="test")
        assert batches.close_batch(make_batch().pk, actor="test").version == 1


class TestCancelBatch:
    def test_asked_again_changes_nothing_and_of_a_done_one_is_refused(self, engine: Engine) -> None:
        batch = make(dummy(), open=True)
        first, second = (batches.cancel_batch(batch.pk, actor="test") for _ in range(2))
        assert first.version == second.version == 2
        settled(engine)
        with pytest.raises(BatchDone, match="the batch is CANCELLED already"):
            batches.cancel_batch(batch.pk, actor="test")


class TestRetryBatch:
    def test_keeps_what_succeeded_and_makes_what_follows_again(self, engine: Engine) -> None:
        batch = make(dummy(), dummy())
        good, bad = tasks_of(batch)
        [after] = add(batch, dummy(depends_on=[str(good), str(bad)]))
        [undo] = add(batch, dummy(depends_on=[str(bad)], run_if="any_failed"))
        outside = engine.create(depends_on=[WholeBatch(batch.pk)])
        end(engine, good)
        end(engine, bad, outcome=FAILED_FOR_GOOD)
        settled(engine)
        end(engine, undo)
        settled(engine)
        assert (status(batch), made_for(batch)) == ("FAILED", ["onComplete", "onFailure"])
        assert engine.statuses([after, outside]) == ["CANCELLED", "CANCELLED"]
        before = TaskExecution.objects.filter(task_id=good).count()

        assert retry(batch) == 3
        assert (status(batch), engine.statuses([good, bad, after, outside, undo])) == (
            "RUNNING",
            ["SUCCESS", "PENDING", "PENDING", "PENDING", "SUCCESS"],
        )
        assert engine.violations() == {}
        end(engine, bad)
        settled(engine)
        end(engine, after)
        settled(engine)
        assert (status(batch), Batch.objects.get(pk=batch.pk).completion) == ("SUCCESS", 2)
        assert made_for(batch) == ["onComplete", "onComplete", "onFailure", "onSuccess"]
        assert engine.task(outside).gate == Gate.OPEN
        assert TaskExecution.objects.filter(task_id=good).count() == before
        assert engine.violations() == {}

    def test_runs_what_failing_fast_cancelled_and_not_what_somebody_did(self, engine: Engine) -> None:
        batch = make(dummy(), *[dummy(schedule_at=LATER)] * 2, fail_fast=FailFast(1, percent=False))
        bad, by_hand, by_rule = tasks_of(batch)
        cancel(by_hand)
        end(engine, bad, outcome=FAILED_FOR_GOOD)
        settled(engine)
        assert (status(batch), retry(batch)) == ("FAILED", 2)
        assert engine.statuses([bad, by_hand, by_rule]) == ["PENDING", "CANCELLED", "PENDING"]
        settled(engine)
        assert engine.statuses([bad, by_rule]) == ["PENDING", "PENDING"]
        end(engine, bad, by_rule)
        settled(engine)
        assert (status(batch), retry(batch, everything=True)) == ("CANCELLED", 1)

    def test_reaches_into_the_batches_in_it(self, engine: Engine) -> None:
        outer = make(follow_ups={})
        inner = make(dummy(), parent=outer.pk, follow_ups={})
        end(engine, *tasks_of(inner), outcome=FAILED_FOR_GOOD)
        settled(engine)
        assert (status(outer), status(inner), retry(outer)) == ("FAILED", "FAILED", 1)
        assert (status(outer), status(inner)) == ("RUNNING", "RUNNING")
        end(engine, *tasks_of(inner))
        settled(engine)
        assert (status(outer), status(inner), engine.violations()) == ("SUCCESS", "SUCCESS", {})

    def test_reopens_the_batch_of_whoever_waited_for_it(self, engine: Engine) -> None:
        first = make(dummy())
        second = make(dummy(depends_on=[WholeBatch(first.pk)]))
        end(engine, *tasks_of(first), outcome=FAILED_FOR_GOOD)
        settled(engine)
        assert (status(second), retry(first), status(second)) == ("CANCELLED", 2, "RUNNING")
        end(engine, *tasks_of(first))
        settled(engine)
        end(engine, *tasks_of(second))
        settled(engine)
        assert (status(first), status(second), engine.violations()) == ("SUCCESS", "SUCCESS", {})

    def test_is_refused_when_nothing_failed_and_twice_runs_nothing_twice(self, engine: Engine) -> None:
        good, bad = make(dummy()), make(dummy())
        end(engine, *tasks_of(good))
        end(engine, *tasks_of(bad), outcome=FAILED_FOR_GOOD)
        settled(engine)
        with pytest.raises(BatchDone, match="nothing has failed"):
            retry(good)
        assert retry(bad) == 1
        with pytest.raises(BatchDone, match="nothing has failed"):
            retry(bad)

    def test_of_two_at_once_the_second_is_refused(self, engine: Engine, open_session: OpenSession) -> None:
        batch, watcher = make(dummy()), open_session()
        end(engine, *tasks_of(batch), outcome=FAILED_FOR_GOOD)
        settled(engine)
        with transaction.atomic():
            retry(batch)
            second = rival(lambda: retry(batch))
            second.waits(watcher)
        with pytest.raises(BatchDone, match="nothing has failed"):
            second.answer()

    def test_is_refused_as_a_whole_for_a_type_that_may_not_run(self, engine: Engine) -> None:
        batch = make(dummy())
        end(engine, *tasks_of(batch), outcome=FAILED_FOR_GOOD)
        settled(engine)

        def nothing(types: Collection[str]) -> None:
            raise Refused(f"{types}")

        with pytest.raises(Refused, match="DUMMY"):
            retry(batch, allow=nothing)
        assert status(batch) == "FAILED"


class TestFindFailedIn:
    def test_are_those_of_the_batches_in_it_too(self, engine: Engine) -> None:
        outer = make_batch()
        inner = make_batch(parent_id=outer.pk)
        bad = [make_task(batch_id=each.pk, status="FAILED").pk for each in (outer, inner)]
        bad += [make_task(batch_id=outer.pk, status="CANCELLED", end_reason=why).pk
                for why in ("DEPENDENCY_FAILED", "BATCH_FAILED")]  # fmt: skip
        by_hand = make_task(batch_id=outer.pk, status="CANCELLED").pk
        make_task(batch_id=outer.pk, status="SUCCESS")
        with connection.cursor() as cursor:
            assert set(find_failed_in(cursor, outer.pk)) == set(bad)
            assert set(find_failed_in(cursor, outer.pk, everything=True)) == {*bad, by_hand}


class TestReopenBatches:
    def test_a_task_that_is_retried_alone_opens_its_batch_again(self, engine: Engine) -> None:
        outer = make(follow_ups={})
        batch = make(dummy(), parent=outer.pk)
        [task_id] = tasks_of(batch)
        end(engine, task_id)
        settled(engine)
        end(engine, *tasks_of(outer))
        settled(engine)
        assert (status(outer), status(batch)) == ("SUCCESS", "SUCCESS")
        services.retry_task(task_id, actor="test")
        assert (status(outer), status(batch)) == ("RUNNING", "RUNNING")
        assert engine.violations() == {}
        end(engine, task_id)
        settled(engine)
        assert (status(batch), Batch.objects.get(pk=batch.pk).completion) == ("SUCCESS", 2)
        end(engine, *tasks_of(outer))
        settled(engine)
        assert (status(outer), engine.violations()) == ("SUCCESS", {})

    def test_holds_one_that_is_not_done_so_that_nobody_ends_it_meanwhile(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        batch = make(dummy())
        [task_id] = tasks_of(batch)
        cancel(task_id)
        with transaction.atomic():
            services.retry_task(task_id, actor="test")
            report = settle_endings(open_session())
            assert (report.batches, report.left) == (0, True)
        settled(engine)
        assert (status(batch), engine.violations()) == ("RUNNING", {})

    def test_a_refused_retry_opens_nothing(self, engine: Engine) -> None:
        batch = make_batch(status="SUCCESS")
        task = make_task(batch_id=batch.pk)
        with pytest.raises(Exception, match="PENDING cannot be retried"):
            services.retry_task(task.pk, actor="test")
        assert status(batch) == "SUCCESS"

    def test_marks_those_that_are_waited_for_again(self, engine: Engine) -> None:
        done = make_batch(status="FAILED")
        with connection.cursor() as cursor:
            assert reopen_batches(cursor, [], [done.pk, uuid4()]) == {done.pk}
        found = Batch.objects.get(pk=done.pk)
        assert (found.status, found.has_dependents, found.version) == ("FAILED", True, 1)


class TestLockBatchesOf:
    def test_a_bulk_retry_leaves_what_somebody_adds_to_for_later(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        outer = make_batch()
        held, free = make_batch(parent_id=outer.pk), make_batch()
        tasks = [make_task(batch_id=each.pk, status="FAILED").pk for each in (held, free)]
        alone = make_task(status="FAILED").pk
        with locked(open_session(), "batches", "id", outer.pk), transaction.atomic(), connection.cursor() as cursor:
            assert lock_batches_of(cursor, [*tasks, alone]) == {tasks[0]}

    def test_a_bulk_retry_opens_batches_again(self, engine: Engine) -> None:
        batch = make(dummy())
        [task_id] = tasks_of(batch)
        end(engine, task_id, outcome=FAILED_FOR_GOOD)
        settled(engine)
        with transaction.atomic(), connection.cursor() as cursor:
            change(cursor, Deed(BulkAction.RETRY, Target(), "test", ""), [task_id])
        assert (status(batch), engine.violations()) == ("RUNNING", {})
        end(engine, task_id)
        settled(engine)
        assert status(batch) == "SUCCESS"


class TestFindFailedBelow:
    def test_is_the_whole_sub_tree_of_a_plain_graph_and_one_call_reruns_it(self, engine: Engine) -> None:
        count = 500
        ids = new_task_ids(count)
        new = [dummy() if not at else dummy(depends_on=[str(ids[(at - 1) // 2])]) for at in range(count)]
        services.create_tasks(new, ids=ids, created_by="test")
        end(engine, ids[0])
        settled(engine)
        end(engine, ids[2])
        settled(engine)
        end(engine, ids[1], outcome=FAILED_FOR_GOOD)
        settled(engine)
        below = set(Task.objects.filter(end_reason="DEPENDENCY_FAILED").values_list("pk", flat=True))
        assert len(below) > 200
        with connection.cursor() as cursor:
            assert {each.id for each in find_failed_below(cursor, [ids[1]])} == below | {ids[1]}
        services.retry_task(ids[1], actor="test", dependents=anything)
        assert Task.objects.filter(pk__in=below, status="PENDING", gate=Gate.DEPENDENCY).count() == len(below)
        assert engine.violations() == {}
        end(engine, ids[1])
        settled(engine)
        assert {engine.task(each).gate for each in ids[3:5]} == {Gate.OPEN}
        assert {engine.task(each).gate for each in ids[7:11]} == {Gate.DEPENDENCY}

    def test_without_dependents_leaves_them_ended(self, engine: Engine) -> None:
        parent = engine.create(max_retries=0)
        child = engine.create(depends_on=[str(parent)])
        end(engine, parent, outcome=FAILED_FOR_GOOD)
        settled(engine)
        services.retry_task(parent, actor="test")
        assert engine.statuses([parent, child]) == ["PENDING", "CANCELLED"]


class TestRerunTasks:
    def test_an_edge_to_what_is_gone_stays_as_it_was(self, engine: Engine) -> None:
        parent = engine.create(max_retries=0)
        child = engine.create(depends_on=[str(parent)])
        end(engine, parent, outcome=FAILED_FOR_GOOD)
        settled(engine)
        Task.objects.filter(pk=parent).delete()
        with connection.cursor() as cursor:
            assert rerun_tasks(cursor, [child], [], actor="test") == [child]
        assert engine.task(child).gate == Gate.OPEN
        assert TaskEdge.objects.get(child_id=child).outcome == "FAILED"

    def test_leaves_what_succeeded_or_is_open(self, engine: Engine) -> None:
        good, waits = make_task(status="SUCCESS"), make_task()
        with connection.cursor() as cursor:
            assert rerun_tasks(cursor, [good.pk, waits.pk], [], actor="test") == []


class TestMembers:
    def test_of_a_call_find_each_other(self, engine: Engine) -> None:
        ids = new_task_ids(2)
        batch = make(dummy(), NewTask(type="DUMMY", depends_on=[str(ids[0])]), ids=ids)
        assert tasks_of(batch) == ids
        assert Task.objects.filter(batch_id=batch.pk, has_dependents=True).count() == 2
        assert members([]).ids == []

    def test_have_no_mark_but_the_one_that_is_watched(self, engine: Engine) -> None:
        batch = make(*[dummy()] * 5)
        add(batch, dummy(), dummy())
        marks = Task.objects.filter(batch_id=batch.pk).order_by("id").values_list("has_dependents", flat=True)
        assert list(marks) == [False] * 4 + [True] + [False] * 2
        assert (Batch.objects.get(pk=batch.pk).look, engine.violations()) == (False, {})

    def test_that_found_no_room_leave_the_batch_to_be_looked_at(self, engine: Engine) -> None:
        """As when whoever made it keeps the others."""
        edit_queue("full", {"maxWaiting": 1}, actor="test")
        batch = make(dummy(queue="full"), dummy(queue="full"))
        assert (len(tasks_of(batch)), Batch.objects.get(pk=batch.pk).look) == (1, True)
        cancel(*tasks_of(batch))
        settled(engine)
        assert status(batch) == "CANCELLED"
