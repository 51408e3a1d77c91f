"""Rates in random stories: whatever becomes of tasks, in no window of a rate's period start more than it allows; and
what waits although there are slots waits for something that `why` can name.

Time is moved by moving everything that is noted down: what starts then has started so much earlier.
"""

from __future__ import annotations

import os
from collections import defaultdict
from datetime import datetime, timedelta
from typing import ClassVar
from unittest.mock import patch
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from flow_app import assignment, opening
from flow_app.key_buckets import sweep_key_buckets
from flow_app.queues import edit_queue
from flow_app.rates import Rate
from flow_app.targets import Rules, put_target
from flow_app.why import why
from tasks_app import services
from tasks_app.models import Task
from tasks_app.sessions import Session
from tasks_app.starting import Attempt
from tests.support.engine import FAILED, RELEASED, SUCCEEDED, Engine
from tests.support.scale import WHOLE

HOST = "h"
#: What starts are counted of, and its rate: the queue, the host, each of the keys.
RATES = {"queue": Rate(6, 10, 3), "target": Rate(4, 10, 2), "k": Rate(3, 10, 2), "l": Rate(3, 10, 2)}
#: Reasons that say nothing of rates, and that this test has not made.
OTHERS = {"AHEAD_IN_QUEUE", "NO_LIVE_SCHEDULER"}
TABLES = ("queues", "targets", "buckets", "key_buckets")
some = st.integers(0, 59)


def as_json(rate: Rate) -> dict[str, int]:
    return {"limit": rate.limit, "periodSeconds": rate.period, "burst": rate.burst}


class RateMachine(RuleBasedStateMachine):
    session: ClassVar[Session]

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine(self.session)
        self.passed = timedelta(0)
        self.starts: dict[str, list[datetime]] = defaultdict(list)
        self.running: list[tuple[UUID, Attempt]] = []
        for table in ("tasks", "task_executions", "audit_events", "worker_heartbeats", *TABLES):
            self.session.execute(f"DELETE FROM {table}")

    @initialize(rated=st.sets(st.sampled_from(["queue", "target", "keys", "keys"]), min_size=1))
    def begin(self, rated: set[str]) -> None:
        self.rated = rated
        self.workers = [self.engine.worker(slots=5), self.engine.worker(slots=5)]
        self.set_rates()

    def set_rates(self) -> None:
        if "queue" in self.rated:
            edit_queue("default", {"rateLimit": as_json(RATES["queue"])}, actor="me")
        if "keys" in self.rated:
            rule = {"rateLimit": as_json(RATES["k"]), "maxConcurrency": 2}
            edit_queue("default", {"perKey": rule}, actor="me")
        if "target" in self.rated:
            rate = RATES["target"]
            rules = Rules(rate_limit=rate.limit, rate_period=rate.period, rate_burst=rate.burst, max_concurrency=4)
            put_target(HOST, rules, actor="me")

    # People

    @rule(
        count=st.integers(1, 6), calls=st.booleans(), key=st.sampled_from([None, "k", "l"]), priority=st.integers(0, 1)
    )
    def create(self, count: int, calls: bool, key: str | None, priority: int) -> None:
        if Task.objects.filter(finished_at=None).count() < 40:
            fields = {"concurrency_key": key, "priority": priority, "max_retries": 9}
            self.engine.calls(count, HOST, **fields) if calls else self.engine.create_many(count, **fields)

    @rule(which=some)
    def cancel(self, which: int) -> None:
        if tasks := list(Task.objects.filter(status="SCHEDULED").order_by("pk")):
            services.cancel_task(tasks[which % len(tasks)].pk, actor="me")

    @rule(most=st.integers(1, 3), more=st.integers(0, 1))
    def change_the_rules_of_keys(self, most: int, more: int) -> None:
        if "keys" in self.rated:
            rate = RATES["k"]
            for rule in (as_json(Rate(rate.limit + more, rate.period, rate.burst)), as_json(rate)):
                edit_queue("default", {"perKey": {"rateLimit": rule, "maxConcurrency": most}}, actor="me")

    @rule()
    def end_the_rate_of_keys(self) -> None:
        if "keys" in self.rated:
            edit_queue("default", {"perKey": {"rateLimit": None}}, actor="me")
            self.rated = self.rated - {"keys"} or {"none"}

    @rule()
    def change_a_limit_and_back(self) -> None:
        """What has not started goes back, and the rate keeps count."""
        rate = RATES["target"]
        if "target" in self.rated:
            for more in (1, 0):
                rules = Rules(rate_limit=rate.limit + more, rate_period=rate.period, rate_burst=rate.burst)
                put_target(HOST, rules, actor="me")

    # Time

    @rule(seconds=st.sampled_from([0.3, 1.0, 2.0, 3.0, 9.0]))
    def let_time_pass(self, seconds: float) -> None:
        by = timedelta(seconds=seconds)
        self.session.execute("UPDATE buckets SET full_at = full_at - %s", [by])
        self.session.execute("UPDATE key_buckets SET full_at = full_at - %s, opens_at = opens_at - %s", [by, by])
        self.session.execute("UPDATE queues SET key_rate_since = key_rate_since - %s", [by])
        self.session.execute(
            "UPDATE tasks SET started_at = started_at - %(by)s, assigned_at = assigned_at - %(by)s,"
            " run_at = run_at - %(by)s".replace("%(by)s", f"interval '{seconds} s'")
        )
        self.passed += by

    # Schedulers and workers

    @rule()
    def settle(self) -> None:
        """Afterwards whoever waits has a reason to."""
        self.engine.settle()
        for task in Task.objects.filter(status="PENDING", run_at__lt=self.now()):
            assert {reason.code for reason in why(task)} - OTHERS, (task.pk, task.gate)

    @rule()
    def keep_house(self) -> None:
        sweep_key_buckets(self.session)
        opening.release_idle_keys(self.session)

    @rule()
    def make_a_pass_that_is_rolled_back(self) -> None:
        with patch.object(assignment.wakeups, "notify_workers", side_effect=KeyboardInterrupt):
            try:
                self.engine.assign()
            except KeyboardInterrupt:
                return

    @rule(which=st.integers(0, 1), limit=st.integers(1, 9))
    def start(self, which: int, limit: int) -> None:
        worker = self.workers[which]
        free = 5 - sum(owner == worker for owner, _ in self.running)
        for attempt in self.engine.start(worker, limit=min(limit, free)):
            self.running.append((worker, attempt))
            task = self.engine.task(attempt.task_id)
            assert task.started_at is not None
            at = task.started_at + self.passed
            self.starts["queue"].append(at)
            if task.target == HOST:
                self.starts["target"].append(at)
            if task.concurrency_key is not None:
                self.starts[task.concurrency_key].append(at)

    @rule(outcome=st.sampled_from([SUCCEEDED, FAILED, RELEASED]), count=st.integers(1, 9))
    def finish(self, outcome: object, count: int) -> None:
        for worker, attempt in self.running[:count]:
            self.engine.finish(worker, attempt, outcome)  # type: ignore[arg-type]
        del self.running[:count]
        self.session.execute("UPDATE tasks SET run_at = now() WHERE run_at > now() AND worker_id IS NULL")

    @rule(which=st.integers(0, 1))
    def hand_back(self, which: int) -> None:
        assignment.hand_back_assigned(self.session, reason="x", worker_id=self.workers[which])

    @rule(which=st.integers(0, 1))
    def lose_a_worker(self, which: int) -> None:
        self.engine.lose(self.workers[which])
        self.running = [(worker, attempt) for worker, attempt in self.running if worker != self.workers[which]]
        self.workers[which] = self.engine.worker(slots=5)
        self.session.execute("UPDATE tasks SET run_at = now(), crash_count = 0 WHERE worker_id IS NULL")

    def now(self) -> datetime:
        [(now,)] = self.session.fetch("SELECT now()")
        assert isinstance(now, datetime)
        return now

    @invariant()
    def no_window_sees_more_than_it_may(self) -> None:
        for name, rate in RATES.items():
            if ("keys" if name in ("k", "l") else name) in getattr(self, "rated", ()):
                starts, period = self.starts[name], timedelta(seconds=rate.period)
                for first in starts:
                    assert sum(first <= each < first + period for each in starts) <= rate.limit + rate.burst

    @invariant()
    def nothing_is_broken(self) -> None:
        assert self.engine.violations() == {}


@pytest.mark.timeout(300)
def test_rates_hold_in_every_order(session: Session) -> None:
    RateMachine.session = session
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        RateMachine,
        settings=settings(
            max_examples=int(os.environ.get("MODEL_EXAMPLES", "60" if WHOLE else "10")),
            stateful_step_count=int(os.environ.get("MODEL_STEPS", "40")),
            derandomize=os.environ.get("MODEL_SEED") != "any",
            database=None,
            phases=list(Phase) if os.environ.get("MODEL_SHRINK") else [Phase.explicit, Phase.generate],
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
