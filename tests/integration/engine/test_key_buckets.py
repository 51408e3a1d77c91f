"""The rows that remember the rates of keys: what a change of the rule does to them, and how they leave."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from access_app.models import AuditEvent
from access_app.refusals import InvalidInput
from flow_app import opening
from flow_app.key_buckets import KeyBucketSweeper, sweep_key_buckets
from flow_app.models import KeyBucket
from flow_app.outlook import Outlook
from flow_app.queues import edit_queue
from flow_app.rates import Bucket as State
from flow_app.rates import Rate
from tasks_app.models import Task
from tasks_app.sessions import Session
from tests.support.engine import SUCCEEDED, Engine
from tests.support.key_rates import let_pass, rate, tokens
from tests.support.races import locked, rival_on, transaction

OpenSession = Callable[[], Session]


class TestFitKeyBuckets:
    def test_begins_with_one_token_for_each_key(self, engine: Engine) -> None:
        edit_queue("default", {"perKey": {"rateLimit": {"limit": 100, "periodSeconds": 60, "burst": 99}}}, actor="test")
        assert tokens(engine) == 1

    def test_takes_back_what_was_assigned_before(self, engine: Engine) -> None:
        edit_queue("default", {"perKey": {"maxConcurrency": 9}}, actor="test")
        engine.worker(slots=9)
        engine.create_many(5, concurrency_key="k")
        assert engine.settle() == 5
        rate()
        assert not Task.objects.filter(status="SCHEDULED").exists()
        assert engine.settle() == 1
        assert engine.violations() == {}

    def test_keeps_what_was_taken(self, engine: Engine) -> None:
        rate(burst=3)
        worker = engine.worker(slots=9)
        engine.create_many(9, concurrency_key="k")
        engine.settle()
        engine.start(worker)
        rate(20, burst=5)
        assert tokens(engine) == 2
        assert engine.settle() == 2

    def test_gives_one_token_to_a_rate_that_was_ended_and_set_again(self, engine: Engine) -> None:
        rate(burst=9)
        engine.worker(slots=9)
        engine.create(concurrency_key="k")
        engine.settle()
        edit_queue("default", {"perKey": {"rateLimit": None}}, actor="test")
        edit_queue("default", {"perKey": {"rateLimit": {"limit": 10, "periodSeconds": 60, "burst": 9}}}, actor="test")
        assert (tokens(engine, "k"), tokens(engine, "new")) == (1, 1)

    def test_is_recorded(self, engine: Engine) -> None:
        rate(100, 1, 10)
        detail = AuditEvent.objects.get(action="queue.edited").detail
        shown = {"limit": 100, "periodSeconds": 1, "burst": 10}
        assert detail["perKey.rateLimit"] == {"from": None, "to": shown}

    @pytest.mark.parametrize(
        ("old", "new", "seconds"),
        [
            (Rate(10, 100, 9), Rate(20, 100, 9), 37.25),
            (Rate(1, 86_400, 1), Rate(1_000_000, 1, 1_000_000), 86_400.0),
            (Rate(1_000_000, 1, 1_000_000), Rate(1, 86_400, 0), 0.999999),
        ],
    )
    def test_fits_as_rates_do(self, engine: Engine, old: Rate, new: Rate, seconds: float) -> None:
        rate(old.limit, old.period, old.burst)
        with transaction(engine.session):
            [(now,)] = engine.session.fetch("SELECT now()")
            before = State(old, now + timedelta(seconds=seconds)).settled(now)
            engine.session.execute(
                "INSERT INTO key_buckets (queue, key, full_at) VALUES ('default', 'k', %s)", [before.full_at]
            )
            asked = {"queue": "default", "old_limit": old.limit, "old_period": old.period}
            asked |= {"limit": new.limit, "period": new.period, "burst": new.burst}  # type: ignore[dict-item]
            engine.session.send("fit_key_buckets", asked)
            [(full_at,)] = engine.session.fetch("SELECT full_at FROM key_buckets")
        assert full_at == before.under(new, now).full_at

    @pytest.mark.parametrize(
        ("rule", "field"),
        [
            (4, ""),
            ({"limit": 0, "periodSeconds": 1}, ".limit"),
            ({"limit": 10**20, "periodSeconds": 1}, ".limit"),
            ({"limit": 1, "periodSeconds": 86_401}, ".periodSeconds"),
            ({"limit": 1, "periodSeconds": 1, "burst": 2}, ".burst"),
            ({"limit": 1}, ".periodSeconds"),
            ({"limit": "1", "periodSeconds": 1}, ".limit"),
            ({"limit": 1, "periodSeconds": 1, "\0": 1}, ".\0"),
        ],
    )
    def test_refuses_what_cannot_be(self, engine: Engine, rule: object, field: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            edit_queue("default", {"perKey": {"rateLimit": rule}}, actor="test")
        assert list(refused.value.problems) == [f"perKey.rateLimit{field}"]


class TestHoldKeyTokens:
    def test_holds_one_for_what_could_not_be_taken_back(self, engine: Engine, open_session: OpenSession) -> None:
        worker = engine.worker(slots=9)
        task_id = engine.create(concurrency_key="k")
        engine.settle()
        with locked(open_session(), "tasks", "id", task_id):
            rate(most=1)
        assert engine.task(task_id).status == "SCHEDULED"
        assert engine.violations() == {}
        assert tokens(engine) == 0
        [attempt] = engine.start(worker)
        engine.finish(worker, attempt, SUCCEEDED)
        engine.create(concurrency_key="k")
        assert engine.settle() == 0

    def test_holds_none_twice(self, engine: Engine, open_session: OpenSession) -> None:
        rate()
        engine.worker(slots=9)
        task_id = engine.create(concurrency_key="k")
        engine.settle()
        with locked(open_session(), "tasks", "id", task_id):
            rate(20)
        assert KeyBucket.objects.get().task_ids == [task_id]


class TestSweepKeyBuckets:
    def test_takes_full_ones_away_and_leaves_the_others(self, engine: Engine) -> None:
        rate(10, 1000, burst=1)
        worker = engine.worker(slots=9)
        for key, count in (("full", 1), ("unstarted", 1), ("waited", 3)):
            engine.create_many(count, concurrency_key=key)
        engine.settle()
        started = engine.start(worker)
        KeyBucket.objects.filter(key="unstarted").update(attempts=[0])
        engine.session.execute("UPDATE tasks SET status = 'SCHEDULED', attempt = 0 WHERE concurrency_key = 'unstarted'")
        let_pass(1000)
        assert sweep_key_buckets(engine.session).gone == 1
        assert set(KeyBucket.objects.values_list("key", flat=True)) == {"unstarted", "waited"}
        assert tokens(engine, "full") == 2
        del started

    def test_leaves_what_is_not_full(self, engine: Engine) -> None:
        rate(10, 1000, burst=1)
        worker = engine.worker(slots=9)
        engine.create(concurrency_key="k")
        engine.settle()
        engine.start(worker)
        opening.open_keys(engine.session)
        assert sweep_key_buckets(engine.session).gone == 0

    def test_takes_those_of_queues_that_are_gone(self, engine: Engine) -> None:
        KeyBucket.objects.create(queue="gone", key="k", full_at=datetime.now(UTC) + timedelta(days=1))
        assert sweep_key_buckets(engine.session).gone == 1

    def test_goes_on_where_it_stopped_and_begins_anew(self, engine: Engine) -> None:
        rate()
        for key in "abc":
            KeyBucket.objects.create(queue="default", key=key, full_at=datetime.now(UTC) + timedelta(days=1))
        ids = list(KeyBucket.objects.order_by("pk").values_list("pk", flat=True))
        assert sweep_key_buckets(engine.session, limit=2).last_id == ids[1]
        assert sweep_key_buckets(engine.session, after=ids[1], limit=2).last_id is None

    def test_tells_its_scheduler_of_what_another_one_parked(self, engine: Engine) -> None:
        """The one that parked it is gone. Nothing is lost, nothing doubled, and the rate is used, not one a sweep."""
        rate(10, 1000)
        worker = engine.worker(slots=9)
        engine.create_many(9, concurrency_key="k")
        assert engine.settle() == 1
        engine.start(worker)
        heir = Outlook(gated=False, awaits_tokens=False)
        assert opening.open_known(engine.session, heir) == float("inf")
        KeyBucketSweeper(heir).sweep(engine.session)
        assert 99 < opening.open_known(engine.session, heir) <= 100

    def test_mends_what_a_clock_that_was_set_back_left(self, engine: Engine) -> None:
        rate(10, 1000)
        worker = engine.worker(slots=9)
        engine.create_many(2, concurrency_key="k")
        engine.settle()
        engine.start(worker)
        KeyBucket.objects.update(opens_at=datetime.now(UTC) + timedelta(days=9))
        sweep_key_buckets(engine.session)
        assert 99 < opening.open_known(engine.session, Outlook()) <= 100

    def test_does_not_overrule_a_pass(self, engine: Engine, open_session: OpenSession) -> None:
        rate(10, 1000, burst=1)
        bucket = KeyBucket.objects.create(queue="default", key="k", full_at=datetime.now(UTC) - timedelta(days=1))
        other = open_session()
        other.connection.execute("BEGIN")
        other.execute("UPDATE key_buckets SET full_at = now() + interval '1 hour'")

        sweeping = rival_on(open_session(), lambda session: sweep_key_buckets(session).gone)
        sweeping.waits(engine.session)
        other.connection.execute("COMMIT")
        assert sweeping.answer() == 0
        assert KeyBucket.objects.filter(pk=bucket.pk).exists()
