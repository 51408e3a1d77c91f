"""One task, inserted with its hint in one trip; what becomes of one when the other fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext

from tasks_app import services, wakeups
from tasks_app.fields import NewTask
from tasks_app.models import Task
from tasks_app.sessions import Session
from tasks_app.wakeups import ALONE_AFTER, SCHEDULERS, Sender
from tests.support.clocks import ticking
from tests.support.ears import Ear
from tests.support.logs import capture_logs

OpenSession = Callable[[], Session]

INTERVAL = settings.SCHEDULER.polling_interval
DEFAULT = '[["default",0]]'


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sender]:
    made = Sender()
    monkeypatch.setattr(wakeups, "sender", lambda: made)
    yield made
    made.close()


@pytest.mark.usefixtures("committed_db")
class TestCreating:
    """On a quiet system the hint goes in the trip of the task, behind its commit."""

    def test_costs_one_trip_and_no_thread(self, session: Session, sender: Sender) -> None:
        ear = Ear(session)
        with CaptureQueriesContext(connection) as queries:
            created = services.create_task(NewTask(type="DUMMY", queue="q", priority=3), created_by="me")
        assert [query["sql"].count("pg_notify") for query in queries] == [1]
        assert sender._thread is None
        hint = (SCHEDULERS, '[["q",3]]')
        assert ear.hears(lambda heard: hint in heard)
        stored = Task.objects.get(pk=created.task.pk)
        for field in Task._meta.concrete_fields:
            assert getattr(created.task, field.attname) == getattr(stored, field.attname), field.attname

    def test_leaves_hints_to_the_sender_when_they_come_fast(
        self, session: Session, sender: Sender, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ear = Ear(session)
        with monkeypatch.context() as patch:
            ticking(patch)
            for queue in ("first", "second"):
                services.create_task(NewTask(type="DUMMY", queue=queue), created_by="me")
            assert sender._thread is not None
        hints = [(SCHEDULERS, f'[["{queue}",0]]') for queue in ("first", "second")]
        assert ear.hears(lambda heard: set(hints) <= set(heard))

    def test_begins_anew_after_a_moment(self, sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = ticking(monkeypatch)
        seen = []
        for after in (0, ALONE_AFTER / 2, ALONE_AFTER / 2, ALONE_AFTER):
            clock.now += after
            seen.append(sender.leaves_to_caller())
        assert seen == [True, False, False, True]

    def test_says_nothing_of_a_task_that_may_not_be_due(self, sender: Sender) -> None:
        with CaptureQueriesContext(connection) as queries:
            services.create_task(NewTask(type="DUMMY", schedule_at=datetime.now(UTC)), created_by="me")
        assert [query["sql"].count("pg_notify") for query in queries] == [0]

    @pytest.mark.parametrize("enabled", [True, False])
    def test_does_without_when_wake_ups_are_off(
        self, sender: Sender, monkeypatch: pytest.MonkeyPatch, *, enabled: bool
    ) -> None:
        monkeypatch.setattr(wakeups, "enabled", lambda: enabled)
        assert (wakeups.own_hint({("q", 0)}) is not None) is enabled

    def test_succeeds_when_only_the_hint_failed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wakeups, "own_hint", lambda _: ("a channel with a name too long" * 9, ""))
        with capture_logs() as lines:
            created = services.create_task(NewTask(type="DUMMY"), created_by="me")
        assert [line["event"] for line in lines] == ["wakeup_not_sent"]
        assert Task.objects.get() == created.task

    def test_fails_with_its_insert_and_leaves_the_connection_usable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wakeups, "own_hint", lambda _: (SCHEDULERS, DEFAULT))
        monkeypatch.setattr(services, "new_task_ids", lambda _: [UUID(int=7)])
        services.create_task(NewTask(type="DUMMY"), created_by="me")
        with pytest.raises(IntegrityError):
            services.create_task(NewTask(type="DUMMY"), created_by="me")
        assert Task.objects.count() == 1

    def test_never_commits_a_transaction_of_the_callers(self) -> None:
        transaction.set_autocommit(False)
        try:
            with pytest.raises(TransactionManagementError):  # no hint could go out after a commit by hand
                services.create_task(NewTask(type="DUMMY"), created_by="me")
            transaction.rollback()
        finally:
            transaction.set_autocommit(True)
        assert not Task.objects.exists()

    def test_sends_no_hint_when_the_insert_failed(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        ear = Ear(session)
        monkeypatch.setattr(services, "new_task_ids", lambda _: [UUID(int=7)])
        monkeypatch.setattr(wakeups, "own_hint", lambda _: (SCHEDULERS, "created"))
        services.create_task(NewTask(type="DUMMY"), created_by="me")
        with pytest.raises(IntegrityError):
            services.create_task(NewTask(type="DUMMY"), created_by="me")
        session.execute("SELECT pg_notify(%s, 'next')", [SCHEDULERS])
        heard = ear.hears(lambda heard: (SCHEDULERS, "next") in heard)
        assert heard.count((SCHEDULERS, "created")) == 1
