"""Rates of concurrency keys: how many tasks of each start, and what waits for their tokens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from unittest.mock import Mock
from uuid import UUID

import pytest

from flow_app import assignment, opening
from flow_app.models import KeyBucket
from flow_app.outlook import Outlook
from flow_app.queue_keys import delete_key, set_key
from flow_app.queues import edit_queue
from flow_app.targets import Rules, put_target
from flow_app.why import why
from tasks_app import services, wakeups
from tasks_app.models import Task
from tasks_app.sessions import Session
from tasks_app.states import Gate
from tests.support.engine import FAILED, RELEASED, SUCCEEDED, Engine
from tests.support.key_rates import let_pass, rate, tokens
from tests.support.races import locked

OpenSession = Callable[[], Session]


def behind(gate: Gate) -> int:
    return Task.objects.filter(gate=gate, finished_at=None, worker_id=None).count()


class TestKeyRate:
    def test_holds_for_each_key_by_itself(self, engine: Engine) -> None:
        rate(burst=2)
        for queues in (None, ["default"]):
            engine.worker(slots=9, queues=queues)
        for key in "kl":
            for priority in (-1, 0, 1):
                engine.create_many(2, concurrency_key=key, priority=priority)
        engine.create_many(2)
        assert engine.settle() == 3 + 3 + 2
        assert (tokens(engine, "k"), tokens(engine, "l"), behind(Gate.RATE)) == (0, 0, 6)
        assert engine.violations() == {}

    def test_is_nothing_to_other_queues_and_to_keys_of_schedules(self, engine: Engine) -> None:
        rate()
        engine.worker(slots=30)
        engine.create_many(3, concurrency_key="schedule:x")
        set_key("default", "schedule:x", {"maxConcurrency": 9}, actor="test")
        edit_queue("other", {"perKey": {"maxConcurrency": 9}}, actor="test")
        engine.create_many(3, concurrency_key="k", queue="other")
        assert engine.settle() == 6
        assert not KeyBucket.objects.exists()
        assert engine.session.fetch("SELECT tokens FROM rated_key('default', 'schedule:x')") == []

    def test_holds_with_a_key_of_which_one_runs_at_a_time(self, engine: Engine) -> None:
        rate(burst=2, most=1)
        worker = engine.worker(slots=9)
        engine.create_many(9, concurrency_key="k")
        for _ in range(3):
            assert engine.settle() == 1
            [attempt] = engine.start(worker)
            engine.finish(worker, attempt, SUCCEEDED)
            assert engine.violations() == {}
        assert engine.settle() == 0
        assert engine.violations() == {}
        let_pass(8640)
        assert engine.settle() == 1
        assert engine.violations() == {}

    def test_counts_what_has_started_however_it_ended(self, engine: Engine) -> None:
        rate(burst=3)
        worker = engine.worker(slots=9)
        engine.create_many(9, concurrency_key="k", max_retries=5)
        assert engine.settle() == 4
        one, other, third, fourth = engine.start(worker)
        engine.finish(worker, one, SUCCEEDED)
        engine.finish(worker, other, FAILED)
        engine.finish(worker, third, RELEASED)
        assert engine.settle() == 0
        Task.objects.filter(pk__in=[one.task_id, fourth.task_id]).delete()
        assert engine.settle() == 0

    def test_gives_back_what_has_not_started(self, engine: Engine) -> None:
        rate(burst=3)
        worker = engine.worker(slots=9)
        engine.create_many(9, concurrency_key="k")
        engine.settle()
        engine.start(worker, limit=1)
        assignment.hand_back_assigned(engine.session, reason="test", worker_id=worker)
        assert tokens(engine) == 3
        assert engine.settle() == 3

    def test_gives_the_token_of_what_was_cancelled_to_the_next(self, engine: Engine) -> None:
        rate()
        engine.worker(slots=9)
        first, second = engine.create_many(2, concurrency_key="k")
        engine.settle()
        assert engine.task(second).gate == Gate.RATE
        services.cancel_task(first, actor="test")
        assert engine.settle() == 1
        assert engine.task(second).status == "SCHEDULED"

    def test_gives_back_what_was_assigned_to_a_worker_that_died(self, engine: Engine) -> None:
        rate(burst=1)
        worker = engine.worker(slots=9)
        engine.create_many(2, concurrency_key="k")
        engine.settle()
        engine.start(worker, limit=1)
        engine.lose(worker)
        assert tokens(engine) == 1

    def test_is_undone_with_its_pass(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        rate(burst=3)
        engine.worker(slots=9)
        engine.create_many(9, concurrency_key="k")
        with monkeypatch.context() as patched:
            patched.setattr(wakeups, "notify_workers", Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                engine.assign()
        assert not KeyBucket.objects.exists()
        assert engine.settle() == 4

    def test_leaves_room_for_prefetch_to_others(self, engine: Engine) -> None:
        rate(100, burst=99, most=99)
        engine.worker(slots=2, prefetch=3)
        engine.create_many(9, concurrency_key="k")
        engine.create_many(9, queue="other")
        engine.settle()
        assert Task.objects.filter(concurrency_key="k", status="SCHEDULED").count() <= 2
        assert Task.objects.filter(status="SCHEDULED").count() == 5

    def test_keeps_the_order_of_the_key(self, engine: Engine) -> None:
        rate()
        engine.worker(slots=9)
        low, high = engine.create_many(2, concurrency_key="k"), engine.create_many(2, concurrency_key="k", priority=5)
        engine.settle()
        assert engine.statuses([*high, *low]) == ["SCHEDULED", "PENDING", "PENDING", "PENDING"]
        urgent = engine.create(concurrency_key="k", priority=9)
        engine.settle()
        services.cancel_task(high[0], actor="test")
        assert engine.settle() == 1
        assert engine.task(urgent).status == "SCHEDULED"

    def test_holds_for_suspects(self, engine: Engine) -> None:
        rate(burst=1)
        for _ in range(9):
            engine.worker()
        for task_id in engine.create_many(3, concurrency_key="k"):
            engine.session.execute("UPDATE tasks SET crash_count = 1 WHERE id = %s", [task_id])
        assert engine.settle() == 2
        assert engine.violations() == {}

    def test_holds_in_a_queue_that_tenants_share(self, engine: Engine) -> None:
        rate()
        edit_queue("default", {"fairBy": "fairKey"}, actor="test")
        engine.worker(slots=9)
        for tenant in "ab":
            engine.create_many(2, fair_key=tenant, concurrency_key="k")
            engine.create_many(1, fair_key=tenant)
        assert engine.settle() == 3
        assert engine.violations() == {}
        let_pass(8640)
        assert engine.settle() == 0, "the token is held by what has not started"


class TestTogether:
    def test_with_rates_of_queue_and_target_and_their_limits_each_holds(self, engine: Engine) -> None:
        rate(burst=4, most=3)
        edit_queue(
            "default",
            {"rateLimit": {"limit": 10, "periodSeconds": 86_400, "burst": 9}, "maxConcurrency": 8},
            actor="test",
        )
        put_target("api.example.com", Rules(rate_limit=10, rate_period=86_400, rate_burst=3), actor="test")
        engine.session.execute("UPDATE buckets SET full_at = now() - interval '1 day'")
        worker = engine.worker(slots=30)
        for key in ("k", "l", None):
            engine.calls(9, concurrency_key=key)
            engine.create_many(9, concurrency_key=key)
        started: list[UUID] = []
        for _ in range(9):
            engine.settle()
            assert engine.violations() == {}
            for attempt in engine.start(worker):
                started.append(attempt.task_id)
                engine.finish(worker, attempt, SUCCEEDED)
        tasks = Task.objects.filter(pk__in=started)
        assert tasks.count() == 10
        assert tasks.filter(concurrency_key="k").count() <= 5
        assert tasks.filter(target__isnull=False).count() <= 4


class TestChargeKeyBuckets:
    def test_makes_a_bucket_with_the_first_charge(self, engine: Engine) -> None:
        rate(burst=1)
        engine.worker(slots=9)
        task_id = engine.create(concurrency_key="k")
        assert tokens(engine) == 2
        engine.settle()
        [bucket] = KeyBucket.objects.all()
        assert (bucket.queue, bucket.key, bucket.task_ids) == ("default", "k", [task_id])

    def test_is_not_sent_for_keys_without_a_rate(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        rate(queue="other")
        engine.worker()
        engine.create(concurrency_key="k")
        sent = Mock(side_effect=Session.send, autospec=True)
        monkeypatch.setattr(Session, "send", lambda *args, **named: sent(*args, **named))
        assert engine.assign().assigned == 1
        assert {call.args[1] for call in sent.call_args_list}.isdisjoint({"charge_key_buckets", "park_behind_rates"})


class TestParkBehindRates:
    def test_takes_what_lies_behind_in_the_same_pass(self, engine: Engine) -> None:
        rate()
        worker = engine.worker(slots=1)
        engine.create(concurrency_key="k")
        engine.settle()
        [attempt] = engine.start(worker)
        engine.finish(worker, attempt, SUCCEEDED)
        engine.create_many(30, concurrency_key="k")
        [plain] = engine.create_many(1)
        assert engine.assign().parked == 30
        assert engine.assign().assigned == 1
        assert engine.task(plain).status == "SCHEDULED"
        assert not engine.assign().moved

    def test_takes_other_keys_without_a_token_as_well_and_none_that_has_one(self, engine: Engine) -> None:
        """Behind the few that a pass locks there may be thousands of them."""
        rate()
        engine.worker(slots=20)
        for key in range(20):
            engine.create(concurrency_key=f"empty-{key}")
        assert engine.settle() == 20
        engine.worker(slots=1)
        for key in range(20):
            engine.create(concurrency_key=f"empty-{key}")
        full = engine.create(concurrency_key="full")
        assert engine.assign().parked == 20
        assert engine.assign().assigned == 1
        assert engine.task(full).status == "SCHEDULED"
        assert engine.violations() == {}

    def test_parks_a_newcomer_of_an_empty_key(self, engine: Engine) -> None:
        rate()
        engine.worker(slots=9)
        engine.create_many(2, concurrency_key="k")
        engine.settle()
        engine.create(concurrency_key="k", priority=3)
        assert engine.settle() == 0
        assert behind(Gate.RATE) == 2
        assert engine.violations() == {}

    def test_lets_no_other_of_the_key_go_first(self, engine: Engine) -> None:
        """A candidate that is parked for want of a token brings nobody else of its key in sight."""
        rate(most=1)
        worker = engine.worker(slots=9)
        engine.create_many(3, concurrency_key="k")
        engine.settle()
        [attempt] = engine.start(worker)
        assert behind(Gate.KEY) == 2
        engine.finish(worker, attempt, SUCCEEDED)
        assert engine.assign().parked == 1
        assert not engine.assign().moved
        assert engine.violations() == {}


class TestOpenKeys:
    def test_opens_as_many_as_there_are_tokens_and_says_when_the_next_comes(self, engine: Engine) -> None:
        rate(10, 1000, burst=2)
        worker = engine.worker(slots=9)
        engine.create_many(9, concurrency_key="k")
        assert engine.settle() == 3
        engine.start(worker)
        assert 99 < opening.open_known(engine.session, Outlook()) <= 100
        let_pass(201)
        assert opening.open_keys(engine.session).opened == 2
        assert engine.settle() == 2
        assert engine.violations() == {}

    def test_opens_no_more_than_may_run(self, engine: Engine) -> None:
        rate(10, 1000, burst=9, most=2)
        engine.worker(slots=9)
        engine.create_many(9, concurrency_key="k")
        assert engine.settle() == 2
        KeyBucket.objects.update(opens_at=datetime.now(UTC) - timedelta(seconds=1))
        found = opening.open_keys(engine.session)
        assert (found.keys, found.opened, found.next_in) == (1, 0, None)
        assert engine.violations() == {}

    def test_opens_nothing_without_a_token(self, engine: Engine) -> None:
        rate(10, 1000)
        engine.worker(slots=9)
        engine.create_many(2, concurrency_key="k")
        assert engine.settle() == 1
        KeyBucket.objects.update(opens_at=datetime.now(UTC) - timedelta(seconds=1))
        found = opening.open_keys(engine.session)
        assert (found.keys, found.opened) == (1, 0)
        assert 99 < (found.next_in or 0) <= 100

    def test_looks_again_only_at_what_waits(self, engine: Engine) -> None:
        rate(10, 1000)
        engine.worker(slots=9)
        engine.create(concurrency_key="alone")
        engine.create_many(2, concurrency_key="k")
        engine.settle()
        assert dict(KeyBucket.objects.values_list("key", "opens_at"))["alone"] is None
        assert KeyBucket.objects.get(key="k").opens_at is not None

    def test_goes_on_with_what_is_left_when_tokens_are_left(self, engine: Engine) -> None:
        """The pass gave what was in sight; a token came meanwhile."""
        rate(10, 1000, burst=1)
        worker = engine.worker(slots=9)
        engine.create_many(9, concurrency_key="k")
        assert engine.settle() == 2
        engine.start(worker)
        let_pass(101)
        opening.open_keys(engine.session)
        let_pass(101)
        assert engine.settle() == 2

    def test_opens_for_all_at_once_when_the_rate_ends(self, engine: Engine) -> None:
        rate()
        engine.worker(slots=30)
        for key in "kl":
            engine.create_many(9, concurrency_key=key)
        assert engine.settle() == 2
        edit_queue("default", {"perKey": {"rateLimit": None}}, actor="test")
        engine.settle()
        assert behind(Gate.RATE) == 0
        assert Task.objects.filter(status="SCHEDULED").count() == 18
        opening.open_keys(engine.session)
        assert not KeyBucket.objects.exists()
        assert engine.violations() == {}

    def test_leaves_what_the_pass_has_just_changed_for_the_next_look(
        self, engine: Engine, open_session: OpenSession
    ) -> None:
        rate()
        engine.worker(slots=9)
        engine.create_many(2, concurrency_key="k")
        engine.settle()
        KeyBucket.objects.update(opens_at=datetime.now(UTC) - timedelta(seconds=1))
        with locked(open_session(), "key_buckets", "key", "k"):
            found = opening.open_keys(engine.session)
            assert (found.keys, found.opened) == (0, 0)
            assert found.next_in is not None
            assert found.next_in <= 0
            assert opening.open_known(engine.session, Outlook()) == opening.TOGETHER

    def test_tries_again_what_somebody_has_locked(self, engine: Engine, open_session: OpenSession) -> None:
        rate(10, 1000)
        worker = engine.worker(slots=9)
        _, second = engine.create_many(2, concurrency_key="k")
        engine.settle()
        engine.start(worker)
        let_pass(101)
        with locked(open_session(), "tasks", "id", second):
            found = opening.open_keys(engine.session)
            assert (found.opened, round(found.next_in or 0, 2)) == (0, 0.1)
        let_pass(1)
        assert engine.settle() == 1

    def test_is_made_good_by_a_sweep_when_it_was_lost(self, engine: Engine) -> None:
        rate(10, 1000)
        worker = engine.worker(slots=9)
        engine.create_many(2, concurrency_key="k")
        engine.settle()
        engine.start(worker)
        let_pass(101)
        KeyBucket.objects.update(opens_at=None)
        assert engine.settle() == 0
        opening.release_idle_keys(engine.session)
        assert engine.settle() == 1

    def test_is_made_good_by_a_sweep_when_the_bucket_was_lost(self, engine: Engine) -> None:
        rate(10, 1000)
        worker = engine.worker(slots=9)
        engine.create_many(2, concurrency_key="k")
        engine.settle()
        engine.start(worker)
        KeyBucket.objects.all().delete()
        opening.release_idle_keys(engine.session)
        assert engine.settle() == 1

    def test_waits_while_the_key_is_paused(self, engine: Engine) -> None:
        rate(10, 1000)
        worker = engine.worker(slots=9)
        engine.create_many(2, concurrency_key="k")
        engine.settle()
        engine.start(worker)
        set_key("default", "k", {"paused": True}, actor="test")
        let_pass(101)
        assert engine.settle() == 0
        assert engine.violations() == {}
        delete_key("default", "k", actor="test")
        assert engine.settle() == 1

    def test_takes_many_keys_in_batches(self, engine: Engine) -> None:
        rate(10, 1000)
        worker = engine.worker(slots=9)
        for key in "abc":
            engine.create_many(2, concurrency_key=key)
        engine.settle()
        engine.start(worker)
        let_pass(101)
        first = opening.open_keys(engine.session, limit=2)
        assert (first.keys, first.opened) == (2, 2)
        assert (first.next_in or 0) < 0
        assert opening.open_keys(engine.session, limit=2).opened == 1


class TestWhy:
    def test_names_the_key_and_the_next_token(self, engine: Engine) -> None:
        rate(1, 100)
        engine.worker(slots=9)
        _, second = engine.create_many(2, concurrency_key="k")
        engine.settle()
        [reason] = [each for each in why(Task.objects.get(pk=second)) if each.code == "RATE_LIMIT"]
        assert reason.detail == (
            "the perKey.rateLimit of queue default is 1 in 100 s, and has no token left for concurrency key k"
        )
        assert reason.links == {"queue": "/queues/default"}
        assert reason.until is not None
        assert 98 < (reason.until - datetime.now(UTC)).total_seconds() <= 100
