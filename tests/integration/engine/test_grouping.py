"""Failures get into their groups once, whatever is committed late, read twice, deleted or done by two at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tasks_app import grouping
from tasks_app.failures import FailureGroup, FailureMark, TaskFailure
from tasks_app.fingerprints import fingerprint_of
from tasks_app.grouping import Failed, Span, group_failures
from tasks_app.models import TaskExecution
from tasks_app.retention import Retention
from tasks_app.sessions import Session
from tests.factories import make_execution, make_task
from tests.support.engine import CANCELLED, FAILED, FAILED_FOR_GOOD, RELEASED, SUCCEEDED, TIMED_OUT, Engine
from tests.support.waiting import eventually

OpenSession = Callable[[], Session]
#: A span that changes nothing about the mark.
SPAN = Span(0, 0, 0, 0, 0, notes=False, more=False)


@pytest.fixture(autouse=True)
def from_the_beginning(engine: Engine) -> None:
    engine.session.execute("UPDATE failure_marks SET read_id = 0, sure_id = 0, noted_id = 0, noted_xid = 0")


def failed(task_id: UUID, *, attempt: int = 1, message: str = "it broke", age: str = "0 s", session: Session) -> Failed:
    [(at,)] = session.fetch("SELECT now() - %s::interval", [age])
    return Failed(task_id, attempt, at, "DUMMY", "default", "TASK_FAILED", message)


def fail(message: str = "it broke", **columns: Any) -> TaskExecution:
    """A task whose only attempt failed, as rows."""
    task = make_task(status="FAILED", attempt=1, **columns)
    return make_execution(task, status="FAILED", error_code="TASK_FAILED", error_message=message)


def write(session: Session, message: str, *, attempt: int) -> None:
    """What the statements that end attempts write, in the order in which they do: a lock first, then the id."""
    session.execute("SELECT pg_current_xact_id()")
    session.execute(
        "INSERT INTO task_executions"
        " (task_id, worker_id, due_at, started_at, finished_at, attempt, type, status, task_status, error)"
        " SELECT id, gen_random_uuid(), now(), now(), now(), %s, 'DUMMY', 'FAILED', 'FAILED',"
        " jsonb_build_object('code', 'TASK_FAILED', 'message', %s::text) FROM tasks",
        [attempt, message],
    )


def group_until(session: Session, so: Callable[[], bool]) -> None:
    """Group until it is so: the second reading waits for transactions of other tests, on the same server, as well."""

    def look() -> bool:
        group_failures(session)
        return so()

    eventually(look, timeout=60, interval=0.05)


def all_is_sure() -> bool:
    mark = FailureMark.objects.get()
    return mark.read_id == mark.sure_id == mark.noted_id == TaskExecution.objects.latest("id").pk


def messages() -> list[str]:
    return sorted(FailureGroup.objects.values_list("message", flat=True))


class TestGroupFailures:
    def test_puts_each_failed_attempt_into_the_group_of_its_like(self, engine: Engine) -> None:
        first, second = fail("order 41 is lost"), fail("order 42 is lost")
        other = fail("no such order", queue="mails")
        assert group_failures(engine.session) == 3
        one, two = FailureGroup.objects.order_by("message")
        assert (one.message, one.first_at, one.last_at) == ("no such order", other.finished_at, other.finished_at)
        assert (two.type, two.code, two.message) == ("DUMMY", "TASK_FAILED", "order 42 is lost")
        assert (two.first_at, two.last_at) == (first.finished_at, second.finished_at)
        assert two.fingerprint == fingerprint_of("DUMMY", "TASK_FAILED", "order 7 is lost")
        rows = TaskFailure.objects.filter(fingerprint=two.fingerprint).values_list("task_id", "attempt", "at", "queue")
        assert set(rows) == {(each.task_id, 1, each.finished_at, "default") for each in (first, second)}
        assert TaskFailure.objects.get(fingerprint=one.fingerprint).queue == "mails"

    def test_counts_every_way_to_fail_and_none_other(self, engine: Engine) -> None:
        worker = engine.worker(slots=9)
        for outcome in (FAILED, FAILED_FOR_GOOD, TIMED_OUT, CANCELLED, RELEASED, SUCCEEDED):
            engine.finish(worker, engine.running(worker, max_retries=0), outcome)
        engine.session.execute("DELETE FROM tasks WHERE finished_at IS NULL")
        engine.running(worker)
        engine.running(worker, on_worker_lost="fail")
        engine.lose(worker)
        group_failures(engine.session)
        codes = FailureGroup.objects.order_by("code").values_list("code", flat=True)
        assert list(codes) == ["HTTP_STATUS", "TASK_FAILED", "TIMED_OUT", "WORKER_LOST"]
        assert TaskFailure.objects.count() == 5

    def test_calls_the_loss_that_ended_a_task_by_its_name(self, engine: Engine) -> None:
        task_id = engine.create()
        for _ in range(3):
            worker = engine.worker()
            engine.assign()
            engine.start(worker)
            engine.lose(worker)
        assert engine.task(task_id).end_reason == "QUARANTINED"
        group_failures(engine.session)
        rows = FailureGroup.objects.order_by("code").values_list("code", flat=True)
        assert list(rows) == ["QUARANTINED", "WORKER_LOST"]

    def test_adds_nothing_twice(self, engine: Engine) -> None:
        fail()
        assert [group_failures(engine.session) for _ in range(3)] == [1, 0, 0]
        assert TaskFailure.objects.count() == 1

    def test_writes_nothing_when_nothing_has_come(self, engine: Engine) -> None:
        fail()
        group_until(engine.session, all_is_sure)
        before = engine.session.fetch("SELECT xmin::text FROM failure_marks")
        group_failures(engine.session)
        assert engine.session.fetch("SELECT xmin::text FROM failure_marks") == before

    def test_works_off_a_backlog_in_parts(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(grouping, "MOST_READ", 2)
        for _ in range(5):
            fail()
        assert grouping.group_next(engine.session) == (2, True)
        assert [group_failures(engine.session), group_failures(engine.session)] == [3, 0]
        group_until(engine.session, all_is_sure)
        assert TaskFailure.objects.count() == 5

    def test_finds_what_is_committed_behind_it(self, engine: Engine, open_session: OpenSession) -> None:
        """An id below one that was read: whoever asks for higher ones alone never sees it."""
        make_task()
        slow, fast = open_session(), open_session()
        slow.execute("BEGIN")
        write(slow, "slow", attempt=1)
        write(fast, "fast", attempt=2)
        group_failures(engine.session)
        assert messages() == ["fast"]
        group_failures(engine.session)
        slow.execute("COMMIT")
        group_until(engine.session, lambda: messages() == ["fast", "slow"])

    def test_goes_on_beside_a_transaction_that_stays_open(self, engine: Engine, open_session: OpenSession) -> None:
        """Of somebody else, for hours: it holds up what is read again, and one that comes later not even that."""
        stuck, later = open_session(), open_session()
        for number, message in enumerate(["one", "two", "three"], start=1):
            for session in {1: [stuck], 2: [later]}.get(number, []):
                session.execute("BEGIN")
                session.execute("SELECT pg_current_xact_id()")
            fail(message)
            group_failures(engine.session)
            assert FailureGroup.objects.count() == number
        assert FailureMark.objects.get().sure_id == 0
        stuck.execute("COMMIT")
        group_until(engine.session, lambda: FailureMark.objects.get().sure_id > 0)
        later.execute("COMMIT")

    @pytest.mark.parametrize("column", ["read_id = 10^9, sure_id = 10^9, noted_id", "noted_id = 1, noted_xid"])
    def test_begins_again_with_another_history(self, engine: Engine, column: str) -> None:
        """After a restore, ids or numbers of transactions may be lower than those that were noted."""
        fail()
        engine.session.execute(f"UPDATE failure_marks SET {column} = 10^9")
        group_until(engine.session, all_is_sure)
        assert TaskFailure.objects.count() == 1


class TestTakeFailureMark:
    def test_lets_one_read_at_a_time(self, engine: Engine, open_session: OpenSession) -> None:
        fail()
        with engine.session.connection.transaction():
            assert grouping.take_failure_mark(engine.session) is not None
            assert grouping.group_next(open_session()) == (0, False)
        assert group_failures(open_session()) == 1


class TestFindFailures:
    def test_leaves_out_what_has_a_row(self, engine: Engine) -> None:
        first, second = fail("first"), fail("second")
        span = SPAN._replace(low=0, high=second.pk)
        assert [each.message for each in grouping.find_failures(engine.session, span)] == ["first", "second"]
        grouping.add_failures(engine.session, [failed(first.task_id, session=engine.session)], SPAN)
        assert [each.message for each in grouping.find_failures(engine.session, span)] == ["second"]

    def test_reads_no_more_of_a_message_than_counts(self, engine: Engine) -> None:
        execution = fail("x" * 10_000)
        [found] = grouping.find_failures(engine.session, SPAN._replace(high=execution.pk))
        assert len(found.message) == 2_000


class TestAddFailures:
    def test_keeps_the_first_and_the_last_of_a_group(self, engine: Engine) -> None:
        """Whichever comes first: late ones are older than what is there."""
        task = make_task()
        for attempt, age in ((2, "2 h"), (1, "3 h"), (3, "1 h"), (4, "2 h")):
            message = f"order {attempt}"
            one = failed(task.pk, attempt=attempt, message=message, age=age, session=engine.session)
            assert grouping.add_failures(engine.session, [one], SPAN) == 1
        [group] = FailureGroup.objects.all()
        assert group.message == "order 3"
        assert timedelta(hours=1.9) < group.last_at - group.first_at < timedelta(hours=2.1)

    @pytest.mark.parametrize(("age", "added"), [("11 h", 1), ("13 h", 0)])
    def test_leaves_out_what_retention_may_have_deleted_meanwhile(self, engine: Engine, age: str, added: int) -> None:
        gone = failed(uuid4(), age=age, session=engine.session)
        assert grouping.add_failures(engine.session, [gone], SPAN) == added
        assert FailureGroup.objects.count() == added


class TestDeleteUnusedGroups:
    def test_lets_groups_go_with_their_last_task(self, engine: Engine) -> None:
        for message in ("kept", "gone"):
            fail(message)
        group_failures(engine.session)
        assert grouping.forget_groups(engine.session) == 0
        gone = FailureGroup.objects.get(message="gone")
        TaskFailure.objects.filter(fingerprint=gone.fingerprint).delete()
        assert grouping.forget_groups(engine.session) == 1
        assert messages() == ["kept"]

    def test_waits_for_whoever_adds_to_them(self, engine: Engine, open_session: OpenSession) -> None:
        fail()
        group_failures(engine.session)
        TaskFailure.objects.all().delete()
        fail()
        with engine.session.connection.transaction():
            assert grouping.take_failure_mark(engine.session) is not None
            assert grouping.forget_groups(open_session()) == 0


class TestRetention:
    def test_takes_failures_with_their_task(self, engine: Engine) -> None:
        execution = fail()
        fail()
        group_failures(engine.session)
        engine.move(execution.task_id, finished_at=-timedelta(days=31))
        assert Retention().delete(engine.session) == 1
        [left] = TaskFailure.objects.all()
        assert left.task_id != execution.task_id
