"""Dry runs and what begins with them: what was filtered is what is acted on, once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import signing

from access_app.models import AuditEvent
from access_app.refusals import InvalidInput
from access_app.versions import Stale
from tasks_app import acting, tickets
from tasks_app.acting import OperationNotFound, OperationOver
from tasks_app.acts import BulkAction, Target
from tasks_app.api.operation_filters import read_filter, rows_of
from tasks_app.models import BulkOperation
from tasks_app.tickets import Ask
from tests.factories import make_task, unknown_id
from tests.support.operations import begin, row_of

pytestmark = pytest.mark.django_db


def ask(action: str = "cancel", target: Target = Target(), **wanted: Any) -> Ask:  # noqa: B008 - a value
    return Ask(BulkAction(action), read_filter(wanted or {"queue": "default"}), target)


def token_of(asked: Ask) -> str:
    return acting.try_out(asked, rows_of(asked.filter)).token


class TestTryOut:
    def test_counts_exactly_and_shows_some(self) -> None:
        tasks = [make_task(queue=queue) for queue in "aab"] + [make_task(status="FAILED", queue="b")]
        make_task(status="SUCCESS", queue="b")
        wanted = ask(status=["PENDING", "FAILED"])
        found = acting.try_out(wanted, rows_of(wanted.filter))
        assert found.count == 4
        assert found.by_status == {"PENDING": 3, "FAILED": 1}
        assert found.by_queue == {"a": 2, "b": 2}
        assert [task.pk for task in found.sample] == [task.pk for task in reversed(tasks)]
        assert not BulkOperation.objects.exists()
        assert not AuditEvent.objects.exists()

    def test_gives_up_counting_and_says_what_helps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        make_task()
        monkeypatch.setattr(acting, "LONGEST_COUNT", timedelta(milliseconds=20))
        slow = rows_of({"queue": "default"}).extra(where=["pg_sleep(1) IS NOT NULL"])
        with pytest.raises(InvalidInput, match="narrow it, with createdAfter"):
            acting.try_out(ask(), slow)


class TestBegin:
    def test_begins_once_however_often_a_token_is_sent(self) -> None:
        make_task()
        token = token_of(ask())
        first, made = acting.begin(ask(), token, actor="a", barred=())
        again, repeated = acting.begin(ask(), token, actor="b", barred=())
        assert (made, repeated, again.pk, again.asked_by) == (True, False, first.pk, "a")
        assert AuditEvent.objects.filter(action="bulk_operation.started").count() == 1

    @pytest.mark.parametrize(
        "other",
        [
            ask("retry"),
            ask(queue="other"),
            ask(queue="default", status=["FAILED"]),
            ask("reprioritise", Target(priority=1)),
        ],
    )
    def test_refuses_another_action_or_filter_than_that_of_the_dry_run(self, other: Ask) -> None:
        token = token_of(ask())
        with pytest.raises(InvalidInput, match="another action or filter"):
            acting.begin(other, token, actor="a", barred=())
        assert not BulkOperation.objects.exists()

    def test_refuses_another_priority_than_that_of_the_dry_run(self) -> None:
        token = token_of(ask("reprioritise", Target(priority=1)))
        with pytest.raises(InvalidInput, match="another action or filter"):
            acting.begin(ask("reprioritise", Target(priority=2)), token, actor="a", barred=())

    @pytest.mark.parametrize("token", ["", "x", signing.dumps([1]), signing.dumps([1], salt="tasks_app.tickets")])
    def test_refuses_what_is_no_token(self, token: str) -> None:
        with pytest.raises(InvalidInput, match="not one of ours"):
            acting.begin(ask(), token, actor="a", barred=())

    def test_refuses_an_old_token(self, monkeypatch: pytest.MonkeyPatch) -> None:
        token = token_of(ask())
        monkeypatch.setattr(tickets, "VALID_FOR", timedelta(seconds=-1))
        with pytest.raises(InvalidInput, match="make another dry run"):
            acting.begin(ask(), token, actor="a", barred=())


class TestStopAndResume:
    def test_leave_a_trail(self) -> None:
        operation_id = begin(queue="default")
        assert acting.stop(operation_id, actor="a", reason="wrong queue").version == 2
        assert acting.resume(operation_id, actor="b", barred={"SHELL"}).barred == ["SHELL"]
        trail = AuditEvent.objects.filter(target=f"bulk_operation:{operation_id}").order_by("id")
        assert [(event.action, event.actor, event.reason) for event in trail] == [
            ("bulk_operation.started", "on-call", ""),
            ("bulk_operation.stopped", "a", "wrong queue"),
            ("bulk_operation.resumed", "b", ""),
        ]

    def test_refuse_what_its_state_does_not_allow(self) -> None:
        operation_id = begin(queue="default")
        with pytest.raises(OperationOver, match="that is RUNNING cannot be resumed"):
            acting.resume(operation_id, actor="a", barred=())
        with pytest.raises(Stale):
            acting.stop(operation_id, actor="a", versions=[7])
        acting.stop(operation_id, actor="a", versions=[1])
        with pytest.raises(OperationOver, match="that is STOPPED cannot be stopped"):
            acting.stop(operation_id, actor="a")
        assert row_of(operation_id).version == 2

    def test_know_no_operation_that_there_is_not(self) -> None:
        for act in (lambda pk: acting.stop(pk, actor="a"), acting.operation_of):
            with pytest.raises(OperationNotFound):
                act(unknown_id())
