"""Rates of queues: how many of their tasks start, whatever becomes of those that were given to workers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from access_app.models import AuditEvent
from access_app.refusals import InvalidInput
from flow_app import assignment, buckets
from flow_app.matching import Candidate, Room
from flow_app.models import Bucket, Queue
from flow_app.queues import edit_queue, pause_queue, resume_queue
from flow_app.rates import LONGEST_PERIOD, MOST_STARTS, Rate
from flow_app.rates import Bucket as State
from flow_app.survey import survey_due
from flow_app.why import why
from tasks_app import wakeups
from tasks_app.models import Task
from tasks_app.sessions import Session
from tests.support.engine import FAILED, RELEASED, SUCCEEDED, Engine, places_of, room_of
from tests.support.races import transaction

OpenSession = Callable[[], Session]


def rate(limit: int = 1, period: int = 86_400, burst: int | None = 0, queue: str = "default") -> Queue:
    rule = {"limit": limit, "periodSeconds": period} | ({} if burst is None else {"burst": burst})
    return edit_queue(queue, {"rateLimit": rule}, actor="test")


def fill(queue: str = "default") -> None:
    """As if nothing had been taken for long."""
    Bucket.objects.filter(name=queue).update(full_at=datetime.now(UTC) - timedelta(days=1))


def owned(queue: str = "default") -> int:
    return Task.objects.filter(queue=queue, status__in=["SCHEDULED", "RUNNING"]).count()


def tokens(engine: Engine, queue: str = "default") -> int:
    [(count,)] = engine.session.fetch("SELECT tokens FROM rated_queues WHERE name = %s", [queue])
    return int(count)


def assign_all(engine: Engine) -> int:
    count = 0
    while (report := engine.assign()).moved:
        count += report.assigned
    return count


class TestChargeBuckets:
    def test_gives_no_more_than_there_are_tokens(self, engine: Engine) -> None:
        rate(10, burst=3)
        fill()
        engine.worker(slots=9)
        for priority in (-1, 0, 1):
            engine.create_many(9, priority=priority)
        assert assign_all(engine) == 4
        assert tokens(engine) == 0

    def test_counts_what_has_started_however_it_ended(self, engine: Engine) -> None:
        rate(10, burst=3)
        fill()
        worker = engine.worker(slots=9)
        engine.create_many(9, max_retries=5)
        assign_all(engine)
        one, other, third, fourth = engine.start(worker)
        engine.finish(worker, one, SUCCEEDED)
        engine.finish(worker, other, FAILED)
        engine.finish(worker, third, RELEASED)
        assert assign_all(engine) == 0
        Task.objects.filter(pk__in=[one.task_id, fourth.task_id]).delete()
        assert assign_all(engine) == 0

    def test_gives_back_what_has_not_started(self, engine: Engine) -> None:
        rate(10, burst=3)
        fill()
        worker = engine.worker(slots=9)
        engine.create_many(9)
        assign_all(engine)
        engine.start(worker, limit=1)
        assignment.hand_back_assigned(engine.session, reason="test", worker_id=worker)
        assert tokens(engine) == 3
        assert assign_all(engine) == 3
        assert owned() == 4

    def test_gives_back_what_was_assigned_to_a_worker_that_died(self, engine: Engine) -> None:
        rate(10, burst=1)
        fill()
        worker = engine.worker(slots=9)
        engine.create_many(2)
        assign_all(engine)
        engine.start(worker, limit=1)
        engine.lose(worker)
        assert tokens(engine) == 1

    def test_holds_tokens_however_late_what_was_assigned_starts(self, engine: Engine) -> None:
        """What was given long ago and starts only now must not start beside what has come since."""
        rate(10, 1, burst=3)
        fill()
        worker = engine.worker(slots=99)
        engine.create_many(99)
        assert engine.assign().assigned == 4
        engine.session.execute("UPDATE tasks SET assigned_at = now() - interval '1 hour' WHERE status = 'SCHEDULED'")
        Bucket.objects.update(full_at=datetime.now(UTC) - timedelta(hours=1))
        assert engine.assign().assigned == 0
        engine.start(worker)
        assert engine.assign().assigned == 0

    def test_counts_starts_from_when_they_were(self, engine: Engine) -> None:
        rate(1, 10, burst=0)
        fill()
        worker = engine.worker(slots=9)
        engine.create_many(2)
        engine.assign()
        [attempt] = engine.start(worker)
        engine.session.execute("UPDATE tasks SET started_at = now() - interval '9 s' WHERE id = %s", [attempt.task_id])
        assert engine.assign().assigned == 0
        engine.session.execute("UPDATE tasks SET started_at = now() - interval '11 s' WHERE id = %s", [attempt.task_id])
        assert engine.assign().assigned == 1

    def test_is_undone_with_its_pass(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        rate(10, burst=3)
        fill()
        engine.worker(slots=9)
        engine.create_many(9)
        with monkeypatch.context() as patched:
            patched.setattr(wakeups, "notify_workers", Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                engine.assign()
        assert tokens(engine) == 4
        assert assign_all(engine) == 4

    def test_leaves_room_for_prefetch_to_others(self, engine: Engine) -> None:
        rate(100, burst=99)
        fill()
        engine.worker(slots=2, prefetch=3)
        engine.create_many(9)
        engine.create_many(9, queue="other")
        assign_all(engine)
        assert (owned(), owned("other")) in ((1, 4), (2, 3))
        assert engine.assign().assigned == 0

    def test_draws_on_one_bucket_for_suspects_and_firsts_of_keys(self, engine: Engine) -> None:
        engine.suspects({}, {}, {})
        engine.create_many(3, concurrency_key="k")
        engine.create_many(3, concurrency_key="l")
        rate(10, burst=3)
        fill()
        for _ in range(9):
            engine.worker()
        assert assign_all(engine) == 4
        assert tokens(engine) == 0

    def test_draws_on_it_for_suspects_whose_queue_has_nothing_else(self, engine: Engine) -> None:
        engine.suspects({}, {}, {})
        rate(10, burst=1)
        fill()
        for _ in range(9):
            engine.worker()
        assert assign_all(engine) == 2

    def test_keeps_count_of_what_started_before_the_last_charge(self, engine: Engine) -> None:
        rate(10, burst=3)
        fill()
        worker = engine.worker(slots=9)
        engine.create_many(9)
        for _ in range(2):
            assert engine.assign(limit=2).assigned == 2
            engine.start(worker)
        assert engine.assign(limit=2).assigned == 0

    def test_reads_no_more_than_there_are_tokens(self, engine: Engine) -> None:
        rate(10, burst=2)
        fill()
        engine.worker(slots=99)
        engine.create_many(50)
        with transaction(engine.session):
            engine.session.rows("take_pass")
            engine.session.rows("count_room", room_of(["default"]), of=Room)
            assert len(engine.session.rows("lock_candidates", places_of(["default"]), of=Candidate)) == 3

    def test_is_not_sent_for_queues_without_a_rate(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        rate(queue="other")
        engine.worker()
        engine.create()
        sent = Mock(side_effect=Session.send, autospec=True)
        monkeypatch.setattr(Session, "send", lambda *args, **named: sent(*args, **named))
        assert engine.assign().assigned == 1
        assert "charge_buckets" not in {call.args[1] for call in sent.call_args_list}


class TestSurvey:
    def test_says_when_the_next_token_comes(self, engine: Engine) -> None:
        rate(1, 100, burst=0)
        engine.worker()
        engine.create_many(2)
        assert engine.assign().assigned == 1
        survey = survey_due(engine.session)
        assert not survey.has_due
        assert survey.next_due_in is not None
        assert 90 < survey.next_due_in <= 100

    def test_does_not_wake_for_every_token_of_a_fast_rate(self, engine: Engine) -> None:
        rate(100_000, 1, burst=100_000)
        engine.worker()
        engine.create()
        Bucket.objects.update(full_at=datetime.now(UTC) + timedelta(seconds=1.5))
        assert (survey_due(engine.session).next_due_in or 0) > 0.019

    def test_says_so_of_a_queue_that_tenants_share(self, engine: Engine) -> None:
        rate(1, 100, burst=0)
        edit_queue("default", {"fairBy": "fairKey"}, actor="test")
        engine.worker(slots=9)
        for tenant in "ab":
            engine.create_many(2, fair_key=tenant)
        assert assign_all(engine) == 1
        survey = survey_due(engine.session)
        assert not survey.has_due
        assert 90 < (survey.next_due_in or 0) <= 100

    def test_finds_other_queues_due_beside(self, engine: Engine) -> None:
        rate(1, burst=0)
        engine.worker()
        engine.create_many(2)
        engine.assign()
        engine.create(queue="other")
        assert [head.queue for head in survey_due(engine.session).served] == ["other"]


class TestFitBucket:
    def test_begins_with_one_token(self, engine: Engine) -> None:
        rate(100, burst=100)
        assert tokens(engine) == 1

    def test_takes_back_what_was_assigned_before(self, engine: Engine) -> None:
        engine.worker(slots=9)
        engine.create_many(9)
        engine.assign()
        rate()
        assert owned() == 0
        assert assign_all(engine) == 1

    def test_keeps_what_was_taken(self, engine: Engine) -> None:
        rate(10, burst=3)
        fill()
        worker = engine.worker(slots=9)
        engine.create_many(9)
        engine.assign()
        engine.start(worker)
        rate(20, burst=5)
        assert tokens(engine) == 2
        rate(20, burst=5)
        rate(10, burst=3)
        assert tokens(engine) == 0

    def test_gives_one_token_to_a_rate_that_was_ended_and_set_again(self, engine: Engine) -> None:
        rate(10, burst=9)
        fill()
        edit_queue("default", {"rateLimit": None}, actor="test")
        assert not Bucket.objects.exists()
        rate(10, burst=9)
        assert tokens(engine) == 1

    def test_is_recorded(self, engine: Engine) -> None:
        rate(100, 1, burst=None)
        event = AuditEvent.objects.get(action="queue.edited")
        shown = {"limit": 100, "periodSeconds": 1, "burst": 10}
        assert event.detail == {"rateLimit": {"from": None, "to": shown}}

    @pytest.mark.parametrize(
        ("rule", "field"),
        [
            ({"limit": 0, "periodSeconds": 1}, "limit"),
            ({"limit": 1_000_001, "periodSeconds": 1}, "limit"),
            ({"limit": 1, "periodSeconds": 0}, "periodSeconds"),
            ({"limit": 1, "periodSeconds": 86_401}, "periodSeconds"),
            ({"limit": 1, "periodSeconds": 1, "burst": 2}, "burst"),
            ({"limit": 1, "periodSeconds": 1, "burst": -1}, "burst"),
            ({"limit": 1}, "periodSeconds"),
            ({"limit": True, "periodSeconds": 1}, "limit"),
        ],
    )
    def test_refuses_what_cannot_be(self, engine: Engine, rule: dict[str, Any], field: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            edit_queue("default", {"rateLimit": rule}, actor="test")
        assert list(refused.value.problems) == [f"rateLimit.{field}"]


class TestMendBuckets:
    def test_makes_one_that_was_lost_empty(self, engine: Engine) -> None:
        rate(10, 10, burst=9)
        fill()
        Bucket.objects.all().delete()
        engine.worker(slots=9)
        engine.create_many(9)
        assert assign_all(engine) == 0
        assert buckets.mend_buckets(engine.session) == 1
        assert assign_all(engine) == 0
        engine.session.execute("UPDATE buckets SET full_at = full_at - interval '1 s'")
        assert assign_all(engine) == 1

    def test_settles_one_that_a_clock_left_ahead(self, engine: Engine) -> None:
        rate(10, 10, burst=9)
        Bucket.objects.update(full_at=datetime.now(UTC) + timedelta(days=9))
        assert tokens(engine) == 0
        assert buckets.mend_buckets(engine.session) == 1
        assert Bucket.objects.get().full_at < datetime.now(UTC) + timedelta(seconds=11)
        assert buckets.mend_buckets(engine.session) == 0

    def test_takes_away_one_of_no_rate(self, engine: Engine) -> None:
        rate()
        Queue.objects.all().delete()
        assert buckets.mend_buckets(engine.session) == 1
        assert not Bucket.objects.exists()

    def test_does_nothing_beside_a_pass(self, engine: Engine, open_session: OpenSession) -> None:
        rate()
        Bucket.objects.all().delete()
        other = open_session()
        with transaction(other):
            other.rows("take_pass")
            assert buckets.mend_buckets(engine.session) == 0

    def test_leaves_the_pass_alone_when_there_is_nothing_to_do(self, engine: Engine, open_session: OpenSession) -> None:
        rate()
        with transaction(engine.session):
            assert buckets.mend_buckets(engine.session) == 0
            assert open_session().rows("take_pass")[0][1]


def thaw(limit: int = 1, period: int = 86_400, burst: int = 0, queue: str = "default") -> Queue:
    rule = {"limit": limit, "periodSeconds": period, "burst": burst}
    return resume_queue(queue, actor="test", rate=rule)


class TestThaw:
    def test_holds_back_what_was_due_and_what_comes_meanwhile(self, engine: Engine) -> None:
        pause_queue("default", actor="test")
        engine.worker(slots=9)
        engine.create_many(3)
        thaw()
        engine.create_many(3, priority=1)
        assert assign_all(engine) == 1
        assert engine.violations() == {}

    def test_draws_on_the_rate_of_the_queue_as_well(self, engine: Engine) -> None:
        rate(10, burst=1)
        pause_queue("default", actor="test")
        worker = engine.worker(slots=9)
        engine.create_many(9)
        thaw(10, burst=5)
        fill()
        assert assign_all(engine) == 2
        engine.start(worker)
        assert engine.session.fetch("SELECT kind, tokens FROM rated_queues ORDER BY 1") == [("queue", 0), ("thaw", 4)]
        assert assign_all(engine) == 0

    def test_is_a_reason_to_wait(self, engine: Engine) -> None:
        pause_queue("default", actor="test")
        engine.worker()
        _, second = engine.create_many(2)
        thaw(5, 100)
        engine.assign()
        [reason] = [reason for reason in why(engine.task(second)) if reason.code == "RATE_LIMIT"]
        assert reason.detail == "the resumeRate of queue default is 5 in 100 s, and has no token left"

    def test_ends_with_a_resume_without_it(self, engine: Engine) -> None:
        pause_queue("default", actor="test")
        thaw()
        assert resume_queue("default", actor="test").thaw_limit is None
        assert not Bucket.objects.exists()

    def test_is_recorded(self, engine: Engine) -> None:
        pause_queue("default", actor="test")
        thaw(3, 2, 1)
        event = AuditEvent.objects.get(action="queue.resumed")
        assert event.detail == {"resumeRate": {"limit": 3, "periodSeconds": 2, "burst": 1}}


class TestEndThaws:
    @pytest.fixture(autouse=True)
    def _a_queue_is_paused(self, engine: Engine) -> None:
        pause_queue("default", actor="test")

    def test_ends_one_when_what_was_due_has_started(self, engine: Engine) -> None:
        worker = engine.worker(slots=9)
        engine.create_many(2)
        thaw(10, burst=1)
        fill()
        engine.create_many(2)
        engine.create(schedule_at=datetime.now(UTC) + timedelta(hours=1))
        assert buckets.end_thaws(engine.session) == 0
        assert assign_all(engine) == 2
        assert buckets.end_thaws(engine.session) == 0
        engine.start(worker)
        assert buckets.end_thaws(engine.session) == 1
        assert assign_all(engine) == 2
        assert not Bucket.objects.exists()
        assert AuditEvent.objects.filter(action="queue.thawed", target="queue:default").count() == 1

    @pytest.mark.parametrize("waiting", [{}, {"priority": -5}, {"concurrency_key": "k"}])
    def test_waits_for_every_kind_of_waiting_task(self, engine: Engine, waiting: dict[str, Any]) -> None:
        engine.create(**waiting)
        thaw()
        assert buckets.end_thaws(engine.session) == 0

    def test_waits_for_suspects_and_for_what_waits_behind_a_key(self, engine: Engine) -> None:
        task_id = engine.create()
        engine.session.execute("UPDATE tasks SET crash_count = 1 WHERE id = %s", [task_id])
        thaw()
        assert buckets.end_thaws(engine.session) == 0
        engine.session.execute("UPDATE tasks SET crash_count = 0, concurrency_key = 'k', gate = 1")
        assert buckets.end_thaws(engine.session) == 0
        engine.session.execute("UPDATE tasks SET concurrency_key = NULL, gate = 5")
        assert buckets.end_thaws(engine.session) == 0

    def test_leaves_one_that_is_paused_again(self, engine: Engine) -> None:
        thaw()
        pause_queue("default", actor="test")
        assert buckets.end_thaws(engine.session) == 0


class TestPause:
    def test_costs_no_token(self, engine: Engine) -> None:
        rate(10, burst=3)
        fill()
        engine.worker(slots=9)
        engine.create_many(9)
        engine.assign()
        pause_queue("default", actor="test")
        assert tokens(engine) == 4


RULES = st.builds(
    lambda limit, period, burst: Rate(limit, period, min(burst, limit)),
    st.integers(1, MOST_STARTS),
    st.integers(1, LONGEST_PERIOD),
    st.integers(0, MOST_STARTS),
)


class TestStatements:
    @settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(RULES, st.integers(-(10**6), 10**13), st.integers(0, 100_000))
    def test_count_as_rates_do(self, engine: Engine, rule: Rate, ahead: int, taken: int) -> None:
        now = datetime(2030, 1, 1, tzinfo=UTC)
        full_at = now + timedelta(microseconds=ahead)
        [(count, span)] = engine.session.fetch(
            "SELECT rate_tokens(%s, %s, %s, %s, %s), rate_span(%s, %s, %s)",
            [full_at, now, rule.limit, rule.period, rule.burst, taken, rule.limit, rule.period],
        )
        assert count == State(rule, full_at).tokens(now)
        assert span == rule.span(taken)
