"""The round that tells of ends: each once, none lost, whatever dies when; and nobody else pays for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import connection

from access_app.models import AuditEvent
from schedules_app.firing import fire_due
from tasks_app import notices, services
from tasks_app.executors.base import Outcome
from tasks_app.fields import NewTask
from tasks_app.models import Task
from tasks_app.new_tasks import InvalidTask
from tasks_app.sessions import Session
from tasks_app.states import ErrorCode, Gate
from tests.support.engine import FAILED_FOR_GOOD, SUCCEEDED, UNRUN, Engine
from tests.support.operations import begin, finish
from tests.support.races import transaction as begun
from tests.support.schedules import make_schedule
from tests.support.webhooks import make_endpoint
from workflows_app.callbacks import telling
from workflows_app.callbacks.endpoints import delete_endpoint, edit_endpoint
from workflows_app.callbacks.retention import delete_orphaned_deliveries
from workflows_app.callbacks.tables import Delivery, WebhookEndpoint
from workflows_app.endings import settle_endings

OpenSession = Callable[[], Session]
URL = {"url": "https://own.example/"}


def ended(engine: Engine, outcome: Outcome = SUCCEEDED, **fields: Any) -> UUID:
    task_id = engine.create(**fields)
    engine.run(task_id, outcome)
    return task_id


def settle(engine: Engine) -> int:
    """Rounds until nothing moves; of how many ends they told."""
    told = 0
    while True:
        report = settle_endings(engine.session)
        told += report.told
        if not report.moved:
            assert not report.left
            return told


def sources() -> list[UUID]:
    return list(Delivery.objects.order_by("task_id").values_list("source_id", flat=True))


def body_of(delivery: Delivery) -> Any:
    return json.loads(delivery.task.payload["body"])


class TestTakeEndings:
    def test_tells_of_an_end_once(self, engine: Engine) -> None:
        task_id = ended(engine, callback=URL)
        assert (settle(engine), settle(engine), sources()) == (1, 0, [task_id])
        task, delivery = engine.task(task_id), Delivery.objects.get()
        assert (task.notifies, task.has_dependents) == (False, False)
        assert body_of(delivery)["data"]["task"]["id"] == str(task_id)
        made = delivery.task
        assert (made.queue, made.type, made.status, made.gate) == ("callbacks", "HTTP", "PENDING", Gate.OPEN)
        assert (made.target, made.correlation_id, made.max_retries) == ("own.example", task.correlation_id, 9)
        assert engine.violations() == {}

    def test_has_error_and_result_of_the_attempt_that_ended_it(self, engine: Engine) -> None:
        make_endpoint(include="result")
        ended(engine, Outcome.failure(ErrorCode.HTTP_STATUS, "500", result={"statusCode": 500}, retryable=False))
        settle(engine)
        task = body_of(Delivery.objects.get())["data"]["task"]
        assert (task["errorCode"], task["result"], task["status"]) == ("HTTP_STATUS", {"statusCode": 500}, "FAILED")

    @pytest.mark.parametrize("how", UNRUN)
    def test_every_kind_of_end_counts(self, engine: Engine, how: str) -> None:
        task_id = engine.create(callback=URL, on_worker_lost="fail")
        engine.end_unrun(task_id, how)
        assert settle(engine) == 1
        code = {"cancelled": None, "expired": "EXPIRED", "lost": "WORKER_LOST"}[how]
        assert body_of(Delivery.objects.get())["data"]["task"]["errorCode"] == code

    def test_a_retry_by_policy_is_no_end(self, engine: Engine) -> None:
        task_id = ended(engine, Outcome.failure(ErrorCode.TASK_FAILED, "no"), callback=URL, max_retries=1)
        assert (settle(engine), sources()) == (0, [])
        engine.move(task_id, run_at=-timedelta(minutes=1))
        engine.run(task_id)
        assert (settle(engine), sources()) == (1, [task_id])

    def test_an_end_without_an_attempt_has_no_error_of_the_attempt_before(self, engine: Engine) -> None:
        task_id = ended(engine, FAILED_FOR_GOOD, callback=URL)
        services.retry_task(task_id, actor="test")
        services.cancel_task(task_id, actor="test")
        settle(engine)
        codes = {each.event: body_of(each)["data"]["task"]["errorCode"] for each in Delivery.objects.all()}
        assert codes == {"task.failed": "HTTP_STATUS", "task.cancelled": None}

    def test_tells_again_when_somebody_ran_it_again(self, engine: Engine) -> None:
        task_id = ended(engine, callback=URL)
        settle(engine)
        services.retry_task(task_id, actor="test")
        services.cancel_task(task_id, actor="test")
        services.retry_task(task_id, actor="test")
        services.cancel_task(task_id, actor="test")
        settle(engine)
        assert sources() == [task_id] * 3
        assert Delivery.objects.values("webhook_id").distinct().count() == 3

    def test_an_end_that_nobody_has_seen_is_told_before_the_task_runs_again(self, engine: Engine) -> None:
        task_id = ended(engine, callback=URL)
        services.retry_task(task_id, actor="test")
        assert sources() == [task_id]
        services.cancel_task(task_id, actor="test")
        settle(engine)
        assert [each.event for each in Delivery.objects.all()].count("task.cancelled") == 1
        assert len(sources()) == 2

    def test_so_do_those_that_are_run_again_by_one_operation(self, engine: Engine) -> None:
        seen, unseen = ended(engine, callback=URL), ended(engine, callback=URL)
        services.retry_task(seen, actor="test")
        services.cancel_task(seen, actor="test")
        engine.session.execute("UPDATE tasks SET notifies = false WHERE id = %s", [seen])  # as if it had been told
        finish(engine.session, begin("retry", queue="default"))
        assert engine.statuses([seen, unseen]) == ["PENDING", "PENDING"]
        assert sources().count(unseen) == 1
        for task_id in (seen, unseen):
            assert engine.task(task_id).notifies
            services.cancel_task(task_id, actor="test")
        settle(engine)
        assert (sources().count(seen), sources().count(unseen)) == (2, 2)
        assert engine.violations() == {}

    def test_a_crash_leaves_all_or_nothing(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        """The process dies in the middle: the server rolls back what it had done."""
        task_id = ended(engine, callback=URL)

        def dies(*_: Any) -> None:
            raise psycopg.OperationalError("killed")

        monkeypatch.setattr(telling, "heed", dies)
        with pytest.raises(Exception, match="killed"):
            settle_endings(engine.session)
        assert (sources(), engine.task(task_id).notifies) == ([], True)
        monkeypatch.undo()
        assert (settle(engine), sources()) == (1, [task_id])

    def test_a_defect_lets_dependents_run_all_the_same(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        parent = engine.create(callback=URL)
        child = engine.create(depends_on=[str(parent)])
        engine.run(parent)
        monkeypatch.setattr(telling, "deliver", lambda *_: 1 / 0)
        report = settle_endings(engine.session)
        assert (report.opened, report.told, report.left) == (1, 0, True)
        assert engine.task(child).gate == Gate.OPEN
        assert engine.task(parent).notifies

    def test_a_defect_of_one_end_lets_the_others_be_told(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """That one is told as soon as it can be."""
        first, broken, last = (ended(engine, callback=URL) for _ in range(3))
        deliver = telling.deliver

        def fails(cursor: Any, messages: Any) -> None:
            found = list(messages)
            assert broken not in {message.end.id for message in found}, "a defect"
            deliver(cursor, found)

        monkeypatch.setattr(telling, "deliver", fails)
        assert (settle_endings(engine.session).told, set(sources())) == (2, {first, last})
        later = ended(engine, callback=URL)
        lines = len(caplog.records)
        assert (settle_endings(engine.session).told, set(sources())) == (1, {first, last, later})
        assert len(caplog.records) == lines, "it is left out, and not tried each time"
        monkeypatch.undo()
        telling._left_out.clear()
        assert (settle(engine), set(sources())) == (1, {first, last, later, broken})

    def test_goes_on_where_another_round_has_something(self, engine: Engine, open_session: OpenSession) -> None:
        ended(engine, callback=URL)
        with begun(other := open_session()):
            with other.connection.cursor() as cursor:
                assert telling.tell(cursor) == 1
            report = settle_endings(engine.session)
            assert (report.told, report.left) == (0, True)
        assert (settle(engine), len(sources())) == (0, 1)

    def test_is_one_round_at_a_time_whose_deliveries_are_in_the_order_of_the_ends(
        self, engine: Engine, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(telling, "MOST", 1)
        for _ in range(2):
            ended(engine, callback=URL)
        with begun(other := open_session()):
            with other.connection.cursor() as cursor:
                assert telling.tell(cursor) == 1
            assert settle_endings(engine.session).told == 0
        assert settle(engine) == 1

    def test_of_a_process_that_is_frozen_is_ended_by_the_server(self, engine: Engine) -> None:
        """Nobody else could tell of anything."""
        ended(engine, callback=URL)
        with begun(engine.session):
            assert telling.tell_endings(engine.session) == 1
            assert engine.session.fetch("SHOW idle_in_transaction_session_timeout") == [("2s",)]
        assert engine.session.fetch("SHOW idle_in_transaction_session_timeout") == [("0",)]

    def test_leaves_what_somebody_holds_for_the_next_round(self, engine: Engine, open_session: OpenSession) -> None:
        held, free = ended(engine, callback=URL), ended(engine, callback=URL)
        with begun(other := open_session()):
            other.execute("SELECT FROM tasks WHERE id = %s FOR UPDATE", [held])
            assert settle_endings(engine.session).told == 1
            assert sources() == [free]
        assert settle(engine) == 1

    def test_what_depends_on_an_ended_task_later_tells_nobody_again(self, engine: Engine) -> None:
        task_id = ended(engine, callback=URL)
        settle(engine)
        Delivery.objects.all().delete()  # as retention has
        engine.create(depends_on=[str(task_id)])
        assert (settle(engine), sources()) == (0, [])


class TestMarks:
    """Which tasks are marked when they are made."""

    def marked(self, *ids: UUID) -> list[bool]:
        found = dict(Task.objects.filter(pk__in=ids).values_list("pk", "notifies"))
        return [found[task_id] for task_id in ids]

    def test_nobody_pays_while_nobody_listens(self, engine: Engine) -> None:
        one, many = engine.create(), engine.create_many(2)
        assert self.marked(one, *many) == [False] * 3
        assert not Task.objects.filter(has_dependents=True).exists()

    def test_what_schedules_make_is_marked_too(self, engine: Engine) -> None:
        make_schedule(task={"type": "DUMMY", "callback": URL})
        make_schedule(task={"type": "DUMMY"})
        assert fire_due(engine.session).tasks == 2
        assert {each.callback == URL: each.notifies for each in Task.objects.all()} == {True: True, False: False}

    def test_a_queue_that_somebody_hears(self, engine: Engine) -> None:
        make_endpoint(queues=["billing"])
        ids = [engine.create(), engine.create(queue="billing"), *engine.create_many(1, queue="billing")]
        assert self.marked(*ids) == [False, True, True]

    def test_all_queues(self, engine: Engine) -> None:
        make_endpoint()
        assert self.marked(engine.create(), *engine.create_many(1)) == [True, True]

    @pytest.mark.parametrize("fields", [{"on": []}, {"enabled": False}])
    def test_none_for_an_endpoint_that_hears_nothing(self, engine: Engine, fields: dict[str, Any]) -> None:
        make_endpoint(**fields)
        assert self.marked(engine.create(), *engine.create_many(1)) == [False, False]

    def test_those_with_a_callback_of_many_and_with_dependents(self, engine: Engine) -> None:
        new = [NewTask(type="DUMMY"), NewTask(type="DUMMY", callback=URL)]
        ids = services.create_tasks(new, created_by="test")
        assert self.marked(*ids) == [False, True]
        parent = engine.create(callback=URL)
        child = engine.create(callback=URL, depends_on=[str(parent)])
        assert self.marked(parent, child) == [True, True]

    def test_an_edit_marks_too(self, engine: Engine) -> None:
        task_id = engine.create()
        services.edit_task(task_id, {"callback": URL}, actor="test")
        assert self.marked(task_id) == [True]

    def test_so_does_another_queue(self, engine: Engine) -> None:
        make_endpoint(queues=["billing"])
        one, many, stays = engine.create(), engine.create(queue="a"), engine.create()
        services.edit_task(one, {"queue": "billing"}, actor="test")
        finish(engine.session, begin("move", to_queue="billing", queue="a"))
        services.edit_task(stays, {"queue": "other"}, actor="test")
        assert self.marked(one, many, stays) == [True, True, False]

    def test_an_endpoint_that_there_is_not_is_refused(self, engine: Engine) -> None:
        for make in (engine.create, lambda **fields: engine.create_many(2, **fields)):
            with pytest.raises(InvalidTask) as refused:
                make(callback={"endpoint": "none"})
            assert refused.value.problems == {"callback.endpoint": "there is no endpoint none"}
        task_id = engine.create()
        with pytest.raises(InvalidTask):
            services.edit_task(task_id, {"callback": {"endpoint": "none"}}, actor="test")

    def test_another_process_knows_within_a_second(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        engine.create()
        monkeypatch.setattr(notices, "forget", lambda: None)
        make_endpoint()
        assert self.marked(engine.create()) == [False]
        monkeypatch.setattr(notices._Known, "until", 0.0)
        assert self.marked(engine.create()) == [True]


class TestDelivering:
    def test_a_delivery_is_told_to_nobody(self, engine: Engine) -> None:
        make_endpoint()
        ended(engine)
        settle(engine)
        delivery = Delivery.objects.get()
        engine.run(delivery.pk)
        assert (settle(engine), Delivery.objects.count()) == (1, 1)

    def test_a_message_of_an_endpoint_that_is_called_no_more_is_not_made(self, engine: Engine) -> None:
        endpoint, _ = make_endpoint()
        ended(engine)
        edit_endpoint(endpoint.pk, {"enabled": False}, actor="test")
        assert (settle(engine), sources()) == (1, [])

    def test_one_receiver_has_few_lanes(self, engine: Engine) -> None:
        make_endpoint()
        for _ in range(12):
            services.cancel_task(engine.create(), actor="test")
        settle(engine)
        assert 1 < Task.objects.filter(queue="callbacks").values("concurrency_key").distinct().count() <= 4

    def test_one_that_hangs_delays_no_other(self, engine: Engine) -> None:
        """Whatever is on its way to it: it holds a few slots."""
        hanging, _ = make_endpoint("hanging", queues=["a"])
        other, _ = make_endpoint("other", url="https://hooks.example.com/other", queues=["b"])
        ids = [*engine.create_many(40, queue="a"), engine.create(queue="b")]
        for task_id in ids:
            services.cancel_task(task_id, actor="test")
        settle(engine)
        worker = engine.worker(slots=6)
        engine.settle()
        started = {attempt.task_id for attempt in engine.start(worker)}
        receivers = [each.endpoint_id for each in Delivery.objects.filter(pk__in=started)]
        assert (receivers.count(hanging.pk), receivers.count(other.pk)) == (4, 1)

    def test_those_of_an_ordered_endpoint_wait_for_each_other(self, engine: Engine) -> None:
        make_endpoint(ordered=True)
        ids = [ended(engine) for _ in range(2)]
        settle(engine)
        ids.append(ended_beside(engine))
        settle(engine)
        deliveries = {each.source_id: each for each in Delivery.objects.all()}
        gates = [deliveries[task_id].task.gate for task_id in ids]
        assert gates == [Gate.OPEN, Gate.DEPENDENCY, Gate.DEPENDENCY]
        assert engine.violations() == {}
        engine.run(deliveries[ids[0]].pk, Outcome.failure(ErrorCode.NETWORK, "no"))  # it is tried again
        settle(engine)
        assert engine.task(deliveries[ids[1]].pk).gate == Gate.DEPENDENCY
        services.cancel_task(deliveries[ids[0]].pk, actor="test")
        settle(engine)
        assert [engine.task(deliveries[task_id].pk).gate for task_id in ids[1:]] == [Gate.OPEN, Gate.DEPENDENCY]
        assert engine.violations() == {}

    def test_an_ordered_one_that_has_nothing_on_its_way_waits_for_nothing(self, engine: Engine) -> None:
        make_endpoint(ordered=True)
        ended(engine)
        settle(engine)
        engine.run(Delivery.objects.get().pk)
        settle(engine)
        ended(engine)
        settle(engine)
        assert {each.task.gate for each in Delivery.objects.all()} == {Gate.OPEN}

    def test_what_cannot_be_called_any_more_stops_no_other(self, engine: Engine) -> None:
        bad, good = ended(engine, callback=URL), ended(engine, callback=URL)
        engine.session.execute("UPDATE tasks SET callback = %s WHERE id = %s", ['{"url": "https://"}', bad])
        assert (settle(engine), sources()) == (2, [good])


def ended_beside(engine: Engine) -> UUID:
    """A task that ends while others are due."""
    task_id = engine.create()
    services.cancel_task(task_id, actor="test")
    return task_id


class TestHeedDeliveries:
    def fails(self, engine: Engine, status: int = 500) -> WebhookEndpoint:
        """The next delivery ends so."""
        ended(engine)
        settle(engine)
        delivery = Delivery.objects.filter(task__finished_at=None).get()
        outcome = Outcome.failure(ErrorCode.HTTP_STATUS, "no", result={"statusCode": status}, retryable=False)
        engine.run(delivery.pk, SUCCEEDED if status == 200 else outcome)
        settle(engine)
        return WebhookEndpoint.objects.get()

    def test_410_disables(self, engine: Engine) -> None:
        make_endpoint()
        endpoint = self.fails(engine, 410)
        assert (endpoint.disabled, endpoint.version) == ("gone", 2)
        event = AuditEvent.objects.get(action="endpoint.disabled")
        assert (event.target, event.actor, event.reason) == ("endpoint:e", "scheduler", "it answered 410")

    def test_so_do_five_days_without_one_that_arrives(self, engine: Engine) -> None:
        make_endpoint()
        assert self.fails(engine).failing_since is not None
        assert self.fails(engine, 200).failing_since is None
        WebhookEndpoint.objects.update(failing_since=self.fails(engine).failing_since - timedelta(days=5))
        endpoint = self.fails(engine)
        assert endpoint.disabled == "failing"
        again = edit_endpoint(endpoint.pk, {"enabled": True}, actor="test")
        assert (again.disabled, again.failing_since) == (None, None)

    def test_an_endpoint_that_is_gone_is_not_missed(self, engine: Engine) -> None:
        endpoint, _ = make_endpoint()
        ended(engine)
        settle(engine)
        delete_endpoint(endpoint.pk, actor="test")
        engine.run(Delivery.objects.get().pk, FAILED_FOR_GOOD)
        assert settle(engine) == 1

    def test_of_a_delivery_that_somebody_ran_again_counts_too(self, engine: Engine) -> None:
        make_endpoint()
        assert self.fails(engine).failing_since is not None
        delivery = Delivery.objects.get()
        services.retry_task(delivery.pk, actor="test")
        engine.run(delivery.pk)
        settle(engine)
        assert WebhookEndpoint.objects.get().failing_since is None


class TestDeleteOrphanedDeliveries:
    def test_deletes_rows_without_a_task_some_each_time(self, engine: Engine) -> None:
        for _ in range(3):
            ended(engine, callback=URL)
        settle(engine)
        ids = sorted(Delivery.objects.values_list("pk", flat=True))
        engine.session.execute("DELETE FROM tasks WHERE id = ANY(%s)", [[ids[0], ids[2]]])
        found = []
        after: UUID | None = UUID(int=0)
        while after is not None:
            after, deleted = delete_orphaned_deliveries(engine.session, after=after, limit=1)
            found.append(deleted)
        assert found == [1, 0, 1, 0]
        assert list(Delivery.objects.values_list("pk", flat=True)) == [ids[1]]


def test_the_statement_that_inserts_is_the_same_while_nobody_listens(engine: Engine) -> None:
    """Nothing is added to it, and nothing asked more often than once a second."""
    notices.forget()
    with connection.execute_wrapper(counted := Counted()):
        engine.create()
        engine.create()
    assert len([sql for sql in counted if "webhook_endpoints" in sql]) == 1
    assert not any("notifies" in sql.partition("RETURNING")[0] for sql in counted)


class Counted(list[str]):
    def __call__(self, execute: Any, sql: Any, parameters: Any, many: bool, context: Any) -> Any:
        self.append(str(sql))
        return execute(sql, parameters, many, context)
