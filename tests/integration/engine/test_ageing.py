"""Priorities that age: who is next, exactly, also together with other rules that order; and ``why`` counts the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flow_app import why
from flow_app.ageing import order_by
from flow_app.matching import Candidate
from flow_app.opening import open_keys, release_idle_keys
from flow_app.queue_keys import set_key
from flow_app.queues import edit_queue
from tasks_app.models import Task
from tests.support.engine import SUCCEEDED, Engine
from tests.support.waiting import eventually

AGE = 60
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
def now() -> datetime:
    """One instant for all due times: it is their difference that counts."""
    return datetime.now(UTC) - timedelta(seconds=1)


@pytest.fixture
def ages(engine: Engine) -> Engine:
    edit_queue("default", {"priorityAgeSeconds": AGE}, actor="test")
    return engine


def make(engine: Engine, due: datetime, priority: int, **fields: Any) -> UUID:
    """A task that has been due since then."""
    task_id = engine.create(priority=priority, **fields)
    Task.objects.filter(pk=task_id).update(run_at=due)
    return task_id


def order_of(engine: Engine, worker: UUID, count: int) -> list[UUID]:
    """The order in which a worker with one slot is given tasks."""
    found = []
    for _ in range(count):
        while not (attempts := engine.start(worker)):
            assert engine.assign().moved
        found += [attempt.task_id for attempt in attempts]
        for attempt in attempts:
            engine.finish(worker, attempt, SUCCEEDED)
    return found


#: How long the one of the lower priority has waited, and whether it comes first.
exactly = pytest.mark.parametrize(
    ("longer", "first"), [(timedelta(seconds=10 * AGE), True), (timedelta(seconds=10 * AGE) - MICROSECOND, False)]
)


class TestPass:
    @exactly
    def test_lets_one_overtake_when_it_has_waited_so_much_longer(
        self, ages: Engine, now: datetime, longer: timedelta, first: bool
    ) -> None:
        worker = ages.worker(slots=1)
        old, fresh = make(ages, now - longer, 0), make(ages, now, 10)
        assert order_of(ages, worker, 2) == ([old, fresh] if first else [fresh, old])

    def test_goes_by_priority_where_they_do_not_age(self, engine: Engine, now: datetime) -> None:
        edit_queue("other", {"priorityAgeSeconds": 1}, actor="test")
        worker = engine.worker(slots=1)
        old, fresh = make(engine, now - timedelta(days=1), 0), make(engine, now, 1)
        assert order_of(engine, worker, 2) == [fresh, old]

    def test_follows_the_rule_from_the_next_one_on(self, engine: Engine, now: datetime) -> None:
        worker = engine.worker(slots=1)
        old = make(engine, now - timedelta(days=1), 0)
        fresh = [make(engine, now, 1) for _ in range(3)]
        assert order_of(engine, worker, 1) == fresh[:1]
        edit_queue("default", {"priorityAgeSeconds": AGE}, actor="test")
        assert order_of(engine, worker, 1) == [old]
        edit_queue("default", {"priorityAgeSeconds": None}, actor="test")
        assert order_of(engine, worker, 2) == fresh[1:]

    def test_looks_at_all_priorities_and_queues_take_turns_as_ever(self, ages: Engine, now: datetime) -> None:
        worker = ages.worker(slots=2)
        for priority in range(1, 6):
            for _ in range(30):
                make(ages, now, priority)
        old = make(ages, now - timedelta(hours=1), -3)
        other = make(ages, now, -100, queue="other")
        ages.assign()
        assert {attempt.task_id for attempt in ages.start(worker)} == {old, other}

    @pytest.mark.parametrize(
        "rule", [{"maxConcurrency": 1}, {"rateLimit": {"limit": 1, "periodSeconds": 3600}}, {"maxWaiting": 0}]
    )
    def test_keeps_the_order_under_a_limit_or_rate(self, ages: Engine, now: datetime, rule: dict[str, Any]) -> None:
        old, fresh = make(ages, now - timedelta(seconds=10 * AGE), 0), make(ages, now, 10)
        edit_queue("default", rule, actor="test")
        worker = ages.worker(slots=1)
        assert order_of(ages, worker, 1) == [old]
        assert ages.task(fresh).status == "PENDING"

    @exactly
    def test_keeps_the_order_among_those_that_require_labels_and_those_that_do_not(
        self, ages: Engine, now: datetime, longer: timedelta, first: bool
    ) -> None:
        worker = ages.worker(slots=1, labels={"gpu": "a"})
        old = make(ages, now - longer, 0, required_labels={"gpu": "a"})
        fresh = make(ages, now, 10)
        assert order_of(ages, worker, 2) == ([old, fresh] if first else [fresh, old])


class TestKeys:
    @exactly
    def test_give_their_slot_in_that_order(self, ages: Engine, now: datetime, longer: timedelta, first: bool) -> None:
        worker = ages.worker(slots=1)
        old = make(ages, now - longer, 0, concurrency_key="k")
        fresh = make(ages, now, 10, concurrency_key="k")
        assert order_of(ages, worker, 2) == ([old, fresh] if first else [fresh, old])

    def test_give_their_tokens_in_that_order(self, ages: Engine, now: datetime) -> None:
        edit_queue(
            "default", {"perKey": {"rateLimit": {"limit": 1, "periodSeconds": 1}, "maxConcurrency": 9}}, actor="test"
        )
        worker = ages.worker(slots=9)
        first = make(ages, now - timedelta(days=9), 0, concurrency_key="k")
        old = make(ages, now - timedelta(seconds=20 * AGE), 0, concurrency_key="k")
        fresh = make(ages, now, 10, concurrency_key="k")
        assert order_of(ages, worker, 1) == [first]
        while ages.assign().moved:
            pass
        assert {ages.task(task_id).gate for task_id in (old, fresh)} == {4}
        eventually(lambda: open_keys(ages.session).opened)
        assert (ages.task(old).gate, ages.task(fresh).gate) == (0, 4)

    def test_let_the_next_in_that_order_be_seen(self, ages: Engine, now: datetime) -> None:
        """What is in sight of a key says where it stands in the line of its queue."""
        worker = ages.worker(slots=1)
        holder = make(ages, now - timedelta(days=9), 0, concurrency_key="k")
        old = make(ages, now - timedelta(seconds=20 * AGE), 0, concurrency_key="k")
        fresh = make(ages, now, 10, concurrency_key="k")
        plain = make(ages, now, 15)
        assert order_of(ages, worker, 4) == [holder, old, plain, fresh]

    def test_are_seen_in_that_order_when_a_limit_is_raised_or_a_sweep_finds_them(
        self, ages: Engine, now: datetime
    ) -> None:
        ages.worker(slots=9)
        for key in "kls":
            make(ages, now - timedelta(days=9), 0, concurrency_key=key)
        old = {key: make(ages, now - timedelta(seconds=20 * AGE), 0, concurrency_key=key) for key in "kls"}
        fresh = {key: make(ages, now, 10, concurrency_key=key) for key in "kls"}
        ages.assign()
        assert {ages.task(task_id).gate for task_id in (*old.values(), *fresh.values())} == {1}
        set_key("default", "k", {"maxConcurrency": 2}, actor="test")
        assert (ages.task(old["k"]).gate, ages.task(fresh["k"]).gate) == (0, 1)
        edit_queue("default", {"perKey": {"maxConcurrency": 2}}, actor="test")
        assert (ages.task(old["l"]).gate, ages.task(fresh["l"]).gate) == (0, 1)
        Task.objects.filter(pk=old["s"]).update(gate=1)
        release_idle_keys(ages.session)
        assert (ages.task(old["s"]).gate, ages.task(fresh["s"]).gate) == (0, 1)


class TestShares:
    @exactly
    def test_are_used_in_that_order_within_a_tenant(
        self, ages: Engine, now: datetime, longer: timedelta, first: bool
    ) -> None:
        edit_queue("default", {"fairBy": "fairKey"}, actor="test")
        worker = ages.worker(slots=1)
        old, fresh = make(ages, now - longer, 0, fair_key="a"), make(ages, now, 10, fair_key="a")
        other = make(ages, now, -100, fair_key="b")
        found = order_of(ages, worker, 3)
        assert [each for each in found if each != other] == ([old, fresh] if first else [fresh, old])
        assert found.index(other) < 2

    def test_look_at_no_more_of_a_tenant_than_it_may_be_given(self, ages: Engine, now: datetime) -> None:
        edit_queue("default", {"fairBy": "fairKey"}, actor="test")
        worker = ages.worker(slots=1)
        tasks = [make(ages, now - timedelta(seconds=n), n % 3, fair_key=key) for n in range(9) for key in "ab"]
        expected = expected_order(ages, tasks)
        found = order_of(ages, worker, 18)
        for key in "ab":
            own = {pk for pk in tasks if ages.task(pk).fair_key == key}
            assert [each for each in found if each in own] == [each for each in expected if each in own]


def candidate(task: Task) -> Candidate:
    return Candidate(task.pk, task.queue, task.priority, task.run_at, None, False)


def expected_order(engine: Engine, tasks: list[UUID]) -> list[UUID]:
    found = sorted((candidate(engine.task(task_id)) for task_id in tasks), key=order_by({"default": AGE}))
    return [each.task_id for each in found]


class TestWhy:
    @pytest.mark.parametrize("fields", [{}, {"required_labels": {"gpu": "a"}}, {"fair_key": "a"}])
    def test_counts_what_comes_first_in_the_same_order(
        self, ages: Engine, now: datetime, fields: dict[str, Any]
    ) -> None:
        if "fair_key" in fields:
            edit_queue("default", {"fairBy": "fairKey"}, actor="test")
        ages.assigned(ages.worker(slots=1))
        waited = [(0, 100), (600, 0), (600, 0), (0, 10), (1, 10), (601, 0), (599, 0), (6000, -100), (60, 9)]
        tasks = [make(ages, now - timedelta(seconds=seconds), priority, **fields) for seconds, priority in waited]
        ages.assign()
        assert {ages.task(task_id).gate for task_id in tasks} == {6 if "fair_key" in fields else 0}
        for number, task_id in enumerate(expected_order(ages, tasks)):
            reasons = [each for each in why.why(ages.task(task_id)) if each.code == "AHEAD_IN_QUEUE"]
            counted = int(reasons[0].detail.split()[0]) if reasons else 0
            assert counted == number, (task_id, reasons)

    def test_names_the_first_of_its_key_in_that_order(self, ages: Engine, now: datetime) -> None:
        ages.worker(slots=1)
        old = make(ages, now - timedelta(seconds=20 * AGE), 0, concurrency_key="k", required_labels={"gpu": "a"})
        fresh = make(ages, now, 10, concurrency_key="k")
        codes = {reason.code: reason for reason in why.why(ages.task(fresh))}
        assert str(old) in codes["KEY_ORDER"].detail
        assert "KEY_ORDER" not in {reason.code for reason in why.why(ages.task(old))}


rows = st.lists(
    st.tuples(st.integers(-100, 100), st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))),
    min_size=1,
    max_size=30,
)


class TestOrder:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(tasks=rows, age=st.integers(1, 86_400))
    def test_is_the_same_in_python_and_in_the_database(
        self, engine: Engine, tasks: list[tuple[int, datetime]], age: int
    ) -> None:
        made = [Candidate(UUID(int=n), "q", priority, at, None, False) for n, (priority, at) in enumerate(tasks)]
        found = engine.session.fetch(
            "SELECT id FROM unnest(%s::uuid[], %s::int[], %s::timestamptz[]) AS t(id, priority, run_at)"
            " ORDER BY aged_at(run_at, priority, %s), run_at, id",
            [[each.task_id for each in made], [each.priority for each in made], [each.run_at for each in made], age],
        )
        assert [task_id for (task_id,) in found] == [each.task_id for each in sorted(made, key=order_by({"q": age}))]
