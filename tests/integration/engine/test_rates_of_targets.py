"""Rates of targets: how many tasks that call a host start, over all queues, and what waits for their tokens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from unittest.mock import Mock
from uuid import UUID

import pytest

from access_app.refusals import InvalidInput
from flow_app import assignment, buckets, opening
from flow_app.backing_off import back_off_targets
from flow_app.models import Bucket, Target
from flow_app.outlook import Outlook
from flow_app.queues import edit_queue
from flow_app.targets import Rules, delete_target, put_target
from flow_app.why import why
from tasks_app import services, wakeups
from tasks_app.models import Task
from tasks_app.sessions import Session
from tasks_app.states import Gate
from tests.support.engine import FAILED, RELEASED, SUCCEEDED, Engine
from tests.support.races import locked, transaction

OpenSession = Callable[[], Session]
HOST = "api.example.com"


def rate(limit: int = 10, period: int = 86_400, burst: int = 0, *, most: int | None = None, host: str = HOST) -> None:
    rules = Rules(rate_limit=limit, rate_period=period, rate_burst=burst, max_concurrency=most)
    put_target(host, rules, actor="test")


def fill() -> None:
    """As if nothing had been taken of any rate for long."""
    Bucket.objects.update(full_at=datetime.now(UTC) - timedelta(days=1))


def owned() -> int:
    return Task.objects.filter(status__in=["SCHEDULED", "RUNNING"]).count()


def gated() -> int:
    return Task.objects.filter(gate=Gate.TARGET).count()


def tokens(engine: Engine) -> int:
    [(count,)] = engine.session.fetch("SELECT tokens FROM rated_targets WHERE name = %s", [HOST])
    return int(count)


class TestChargeTargetBuckets:
    def test_holds_over_queues_priorities_and_workers(self, engine: Engine) -> None:
        rate(burst=3)
        fill()
        for queues in (None, ["a"], ["a", "b"]):
            engine.worker(slots=9, queues=queues)
        for queue, priority in (("a", 0), ("b", 1), ("a", 2), ("c", -1)):
            engine.calls(4, queue=queue, priority=priority)
        assert engine.settle() == 4
        assert (owned(), gated(), tokens(engine)) == (4, 12, 0)
        assert engine.violations() == {}

    def test_leaves_other_hosts_and_other_tasks_alone(self, engine: Engine) -> None:
        rate()
        engine.worker(slots=9)
        engine.calls(20, priority=9)
        engine.calls(2, "other.example")
        engine.create_many(2)
        assert engine.settle() == 5

    def test_counts_what_has_started_however_it_ended(self, engine: Engine) -> None:
        rate(burst=3)
        fill()
        worker = engine.worker(slots=9)
        engine.calls(9, max_retries=5)
        engine.settle()
        one, other, third, fourth = engine.start(worker)
        engine.finish(worker, one, SUCCEEDED)
        engine.finish(worker, other, FAILED)
        engine.finish(worker, third, RELEASED)
        assert engine.settle() == 0
        Task.objects.filter(pk__in=[one.task_id, fourth.task_id]).delete()
        assert engine.settle() == 0

    def test_gives_back_what_has_not_started(self, engine: Engine) -> None:
        rate(burst=3)
        fill()
        worker = engine.worker(slots=9)
        engine.calls(9)
        engine.settle()
        engine.start(worker, limit=1)
        assignment.hand_back_assigned(engine.session, reason="test", worker_id=worker)
        assert tokens(engine) == 3
        assert engine.settle() == 3

    def test_gives_back_what_was_assigned_to_a_worker_that_died_or_was_cancelled(self, engine: Engine) -> None:
        rate(burst=2)
        fill()
        worker = engine.worker(slots=9)
        first, *_ = engine.calls(3)
        engine.settle()
        services.cancel_task(first, actor="test")
        assert tokens(engine) == 1
        engine.start(worker, limit=1)
        engine.lose(worker)
        assert tokens(engine) == 2

    def test_takes_back_what_a_worker_sits_on_for_one_that_is_free(self, engine: Engine) -> None:
        rate(burst=1)
        fill()
        slow = engine.worker(slots=2)
        engine.calls(3)
        engine.settle()
        fast = engine.worker(slots=2)
        engine.session.execute("UPDATE tasks SET assigned_at = now() - interval '3 s' WHERE status = 'SCHEDULED'")
        assert assignment.hand_back_stale(engine.session) == 2
        assert engine.settle() == 2
        assert len(engine.start(slow)) + len(engine.start(fast)) == 2
        assert engine.settle() == 0

    def test_is_undone_with_its_pass(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        rate(burst=3)
        fill()
        engine.worker(slots=9)
        engine.calls(9)
        with monkeypatch.context() as patched:
            patched.setattr(wakeups, "notify_workers", Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                engine.assign()
        assert (tokens(engine), gated()) == (4, 0)
        assert engine.settle() == 4

    def test_leaves_room_for_prefetch_to_others(self, engine: Engine) -> None:
        rate(100, burst=99)
        fill()
        worker = engine.worker(slots=2, prefetch=3)
        engine.calls(9)
        engine.create_many(9, queue="other")
        engine.settle()
        assert Task.objects.filter(target=HOST, status="SCHEDULED", worker_id=worker).count() <= 2
        assert owned() == 5

    def test_holds_for_suspects_and_the_firsts_of_keys(self, engine: Engine) -> None:
        rate(burst=1)
        fill()
        for _ in range(9):
            engine.worker()
        for task_id in engine.calls(3):
            engine.session.execute("UPDATE tasks SET crash_count = 1 WHERE id = %s", [task_id])
        for key in "abc":
            engine.calls(2, concurrency_key=key)
        assert engine.settle() == 2
        assert engine.violations() == {}

    def test_that_holds_the_first_of_a_key_lets_its_others_go_first(self, engine: Engine) -> None:
        rate()
        engine.worker(slots=9)
        worker_took = engine.calls(2, concurrency_key="k", priority=1)[0]
        [other] = engine.create_many(1, concurrency_key="k")
        assert engine.settle() == 1
        worker = engine.owner_of(worker_took)
        assert worker is not None
        [attempt] = engine.start(worker)
        engine.finish(worker, attempt, SUCCEEDED)
        assert engine.settle() == 1
        assert engine.task(other).status == "SCHEDULED"


class TestTogether:
    """With the rate of the queue and the limit of the target: each holds, and a task draws on all of them."""

    def test_the_scarcest_decides(self, engine: Engine) -> None:
        rate(burst=5, most=3)
        edit_queue("a", {"rateLimit": {"limit": 10, "periodSeconds": 86_400, "burst": 1}}, actor="test")
        fill()
        worker = engine.worker(slots=30)
        engine.calls(9, queue="a")
        engine.calls(9, queue="b")
        assert engine.settle() == 3
        assert engine.violations() == {}
        for attempt in engine.start(worker):
            engine.finish(worker, attempt, SUCCEEDED)
        assert engine.settle() == 3
        for attempt in engine.start(worker):
            engine.finish(worker, attempt, SUCCEEDED)
        assert engine.settle() == 0
        assert Task.objects.filter(queue="a", status="SUCCESS").count() <= 2
        assert engine.violations() == {}

    def test_draws_on_both_rates(self, engine: Engine) -> None:
        rate(burst=5)
        edit_queue("default", {"rateLimit": {"limit": 10, "periodSeconds": 86_400, "burst": 2}}, actor="test")
        fill()
        worker = engine.worker(slots=30)
        engine.calls(2)
        engine.settle()
        engine.start(worker)
        engine.calls(5)
        assert engine.settle() == 1
        assert engine.session.fetch("SELECT tokens FROM rated_queues") == [(0,)]
        assert tokens(engine) == 3

    def test_waits_for_the_end_of_a_back_off_and_for_a_token(self, engine: Engine) -> None:
        rate(1, 7200)
        engine.worker(slots=9)
        engine.calls(2)
        back_off_targets(engine.session, [(HOST, 60.0)], actor="test")
        assert engine.settle() == 0
        assert 0 < opening.open_known(engine.session, Outlook()) <= 60
        Bucket.objects.update(full_at=datetime.now(UTC) + timedelta(hours=1))
        assert 3500 < opening.open_known(engine.session, Outlook()) <= 3600


class TestGate:
    def test_is_opened_for_as_many_as_there_are_tokens_and_says_when_the_next_comes(self, engine: Engine) -> None:
        rate(10, 1000, burst=9)
        engine.worker(slots=9)
        engine.calls(9)
        assert engine.settle() == 1
        assert gated() == 8
        assert 99 < opening.open_known(engine.session, Outlook()) <= 100
        engine.session.execute("UPDATE buckets SET full_at = full_at - interval '201 s'")
        assert opening.open_targets(engine.session).opened == 2
        assert engine.settle() == 2

    def test_opens_in_order_of_priority_and_due_time(self, engine: Engine) -> None:
        rate()
        worker = engine.worker(slots=9)
        low, high = engine.calls(2), engine.calls(2, priority=5)
        assert engine.settle() == 1
        engine.start(worker)
        rate(burst=1)
        fill()
        assert engine.settle() == 1
        assert engine.statuses([*high, *low]) == ["RUNNING", "SCHEDULED", "PENDING", "PENDING"]

    def test_opens_for_all_at_once_when_the_rate_ends(self, engine: Engine) -> None:
        rate()
        engine.worker(slots=9)
        engine.calls(9)
        assert engine.settle() == 1
        put_target(HOST, Rules(), actor="test")
        assert not Bucket.objects.exists()
        assert engine.settle() == 8

    def test_opens_when_the_rules_are_deleted(self, engine: Engine) -> None:
        rate()
        engine.worker(slots=9)
        engine.calls(9)
        engine.settle()
        delete_target(HOST, actor="test")
        assert not Bucket.objects.exists()
        assert engine.settle() == 8
        assert engine.violations() == {}

    def test_keeps_count_when_the_rate_changes(self, engine: Engine) -> None:
        rate(burst=3)
        fill()
        worker = engine.worker(slots=9)
        engine.calls(9)
        engine.settle()
        engine.start(worker)
        rate(20, burst=5)
        assert tokens(engine) == 2
        assert engine.settle() == 2
        rate(20, burst=5, most=99)
        assert tokens(engine) == 2, "what was assigned has gone back"

    def test_gives_one_token_to_a_rate_that_was_ended_and_set_again(self, engine: Engine) -> None:
        rate(burst=9)
        fill()
        put_target(HOST, Rules(), actor="test")
        rate(burst=9)
        assert tokens(engine) == 1

    def test_is_opened_by_another_scheduler_once_its_sweep_has_found_what_waits(self, engine: Engine) -> None:
        """The one that parked it is gone. Nothing is lost, nothing doubled, and its rate is used, not one a sweep."""
        rate(10, 1000, burst=9)
        worker = engine.worker(slots=9)
        engine.calls(9)
        assert engine.settle() == 1
        engine.start(worker)
        heir = Outlook(gated=False)
        assert opening.open_known(engine.session, heir) == float("inf")
        opening.Sweeper(heir).sweep(engine.session)
        assert 99 < opening.open_known(engine.session, heir) <= 100
        assert engine.settle() == 0


class TestHoldTokens:
    def test_holds_one_for_what_could_not_be_taken_back(self, engine: Engine, open_session: OpenSession) -> None:
        """Some start has locked it when the rate is set: that start counts, whenever it comes."""
        worker = engine.worker(slots=9)
        [task_id] = engine.calls(1)
        engine.settle()
        with locked(open_session(), "tasks", "id", task_id):
            rate(burst=5)
        assert engine.task(task_id).status == "SCHEDULED"
        assert engine.violations() == {}
        assert tokens(engine) == 0
        engine.start(worker)
        fill()
        engine.calls(9)
        assert engine.settle() == 5

    def test_holds_one_of_a_queue(self, engine: Engine, open_session: OpenSession) -> None:
        engine.worker(slots=9)
        task_id = engine.create()
        engine.settle()
        with locked(open_session(), "tasks", "id", task_id):
            edit_queue("default", {"rateLimit": {"limit": 1, "periodSeconds": 60}}, actor="test")
        assert engine.violations() == {}
        engine.create()
        assert engine.settle() == 0

    def test_holds_none_twice(self, engine: Engine, open_session: OpenSession) -> None:
        rate()
        engine.worker(slots=9)
        [task_id] = engine.calls(1)
        engine.settle()
        with locked(open_session(), "tasks", "id", task_id):
            rate(20)
        assert Bucket.objects.get().task_ids == [task_id]


class TestMendTargetBuckets:
    def test_makes_one_that_was_lost_empty(self, engine: Engine) -> None:
        rate(10, 10, burst=9)
        Bucket.objects.all().delete()
        engine.worker(slots=9)
        engine.calls(9)
        assert engine.settle() == 0
        assert buckets.mend_buckets(engine.session) == 1
        assert engine.settle() == 0
        engine.session.execute("UPDATE buckets SET full_at = full_at - interval '1 s'")
        assert engine.settle() == 1

    def test_takes_away_one_of_no_rate(self, engine: Engine) -> None:
        rate()
        Target.objects.all().delete()
        assert buckets.mend_buckets(engine.session) == 1
        assert not Bucket.objects.exists()

    def test_leaves_the_pass_alone_when_there_is_nothing_to_do(self, engine: Engine, open_session: OpenSession) -> None:
        rate()
        with transaction(engine.session):
            assert buckets.mend_buckets(engine.session) == 0
            assert open_session().rows("take_pass")[0][1]


class TestWhyRates:
    def reason_of(self, task_id: UUID) -> list[tuple[str, dict[str, str]]]:
        found = why(Task.objects.get(pk=task_id))
        return [(reason.detail, dict(reason.links)) for reason in found if reason.code == "RATE_LIMIT"]

    def test_names_the_target_and_the_next_token(self, engine: Engine) -> None:
        rate(1, 100)
        engine.worker(slots=9)
        _, second = engine.calls(2)
        engine.settle()
        detail = f"the rateLimit of target {HOST} is 1 in 100 s, and has no token left"
        assert self.reason_of(second) == [(detail, {"target": f"/targets/{HOST}"})]
        [reason] = [each for each in why(Task.objects.get(pk=second)) if each.code == "RATE_LIMIT"]
        assert reason.until is not None
        assert 98 < (reason.until - datetime.now(UTC)).total_seconds() <= 100

    def test_names_each_rate_that_is_used_up(self, engine: Engine) -> None:
        rate(1, 100)
        edit_queue("default", {"rateLimit": {"limit": 1, "periodSeconds": 100}}, actor="test")
        engine.worker(slots=9)
        _, second = engine.calls(2)
        engine.settle()
        assert [detail.partition(" is ")[0] for detail, _ in self.reason_of(second)] == [
            "the rateLimit of queue default",
            f"the rateLimit of target {HOST}",
        ]

    def test_is_silent_while_there_are_tokens(self, engine: Engine) -> None:
        rate(burst=5)
        fill()
        [task_id] = engine.calls(1)
        assert self.reason_of(task_id) == []


class TestRules:
    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"rate_limit": 0, "rate_period": 1, "rate_burst": 0}, "limit"),
            ({"rate_limit": 1, "rate_period": 86_401, "rate_burst": 0}, "periodSeconds"),
            ({"rate_limit": 1, "rate_period": 1, "rate_burst": 2}, "burst"),
            ({"rate_limit": 1}, "periodSeconds"),
        ],
    )
    def test_cannot_be_what_is_no_rate(self, given: dict[str, int], field: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            Rules(**given)
        assert field in refused.value.problems
