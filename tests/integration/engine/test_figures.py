"""Figures of queues: every queue in use is found; what is in it is counted, never more than a bounded part of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from flow_app import figures
from flow_app.figures import Figures, find_queues, measure_queues
from flow_app.models import Bucket, Queue
from flow_app.queue_keys import set_key
from flow_app.queues import edit_queue
from tasks_app.models import Task
from tasks_app.states import Gate, TaskStatus
from tests.factories import make_task

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def make(queue: str = "q", **columns: Any) -> Task:
    """A task that has been due for a minute, if nothing else is said: the clock of a transaction stands still."""
    return make_task(queue=queue, **{"run_at": timezone.now() - timedelta(minutes=1)} | columns)


def measured(name: str = "q") -> Figures:
    return measure_queues([name])[name]


class TestFindQueues:
    def test_finds_each_way_to_be_in_use_once_and_in_order(self) -> None:
        make_task(queue="due")
        make_task(queue="due", priority=5)
        make_task(queue="later", run_at=timezone.now() + HOUR)
        make_task(queue="key", concurrency_key="k", gate=Gate.KEY)
        make_task(queue="gate", gate=Gate.RATE)
        make_task(queue="suspect", crash_count=1)
        make_task(queue="assigned", status=TaskStatus.SCHEDULED)
        make_task(queue="running", status=TaskStatus.RUNNING)
        Queue.objects.create(name="row")
        make_task(queue="ended", status=TaskStatus.SUCCESS)
        found = ["assigned", "due", "gate", "key", "later", "row", "running", "suspect"]
        assert find_queues(most=99) == found
        assert [find_queues(most=most) for most in range(1, 9)] == [found[:most] for most in range(1, 9)]

    def test_finds_none_in_an_empty_system(self) -> None:
        assert find_queues(most=9) == []


class TestMeasureQueues:
    def test_of_an_unused_queue_is_nothing(self) -> None:
        assert measured() == Figures()

    def test_counts_what_waits_for_what(self) -> None:
        for priority in (-1, 0, 0, 7):
            make("q", priority=priority)
        make("q", run_at=timezone.now() + HOUR)
        make("q", crash_count=1)
        make("q", crash_count=1, run_at=timezone.now() + HOUR)
        make("q", concurrency_key="a")
        make("q", concurrency_key="a", gate=Gate.KEY)
        for gate in (Gate.RATE, Gate.RATE, Gate.APPROVAL):
            make("q", gate=gate)
        make("q", status=TaskStatus.SCHEDULED)
        for _ in range(2):
            make("q", status=TaskStatus.RUNNING)
        make("q", status=TaskStatus.SUCCESS)
        make("p")
        found = measured()
        assert (found.waiting, found.due, found.at_least) == (12, 6, False)
        assert found.gates == {"KEY": 1, "APPROVAL": 1, "RATE": 2}
        assert (found.scheduled, found.running) == (1, 2)
        assert found.waiting == Task.objects.filter(queue="q", status=TaskStatus.PENDING).count()

    def test_measures_from_the_oldest_that_is_due_whatever_its_priority(self) -> None:
        make("q", priority=9, run_at=timezone.now() + HOUR)
        assert measured().oldest_due_seconds is None
        make("q", priority=5, run_at=timezone.now() - HOUR)
        make("q", priority=1, run_at=timezone.now() - 3 * HOUR)
        assert measured().oldest_due_seconds == pytest.approx(3 * 3600, abs=60)
        make("q", crash_count=1, run_at=timezone.now() - 5 * HOUR)
        assert measured().oldest_due_seconds == pytest.approx(5 * 3600, abs=60)

    def test_says_how_fast_it_fills_and_drains(self) -> None:
        for _ in range(3):
            make("q")
        for _ in range(5):
            make("q", status=TaskStatus.SUCCESS)
        make("p", status=TaskStatus.SUCCESS)
        Task.objects.update(created_at=Now())
        Task.objects.filter(finished_at__isnull=False).update(finished_at=Now())
        assert (measured().in_per_minute, measured().out_per_minute, measured().sampled) == (8, 5, False)
        Task.objects.update(created_at=timezone.now() - HOUR)
        Task.objects.filter(finished_at__isnull=False).update(finished_at=timezone.now() - HOUR)
        assert (measured().in_per_minute, measured().out_per_minute) == (0, 0)

    def test_takes_rates_from_a_sample_when_much_moves(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(figures, "SAMPLE", 4)
        for _ in range(6):
            make("q")
        Task.objects.update(created_at=timezone.now() - timedelta(seconds=10))
        found = measured()
        assert found.sampled
        assert found.in_per_minute == pytest.approx(4 * 60 / 10, rel=0.2)

    def test_cuts_off_every_count_and_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(figures, "MOST_COUNTED", 4)
        monkeypatch.setattr(figures, "LEAST_COUNTED", 2)
        for _ in range(3):
            make("few")
        for queue, columns in (
            ("due", {}),
            ("later", {"run_at": timezone.now() + HOUR}),
            ("gate", {"gate": Gate.TARGET}),
            ("key", {"concurrency_key": "k", "gate": Gate.KEY}),
        ):
            for _ in range(9):
                make(queue, **columns)
        assert (measured("few").waiting, measured("few").at_least) == (3, False)
        for queue in ("due", "later", "gate", "key"):
            found = measured(queue)
            assert found.at_least
            assert found.waiting <= 5
        assert {found.waiting for found in measure_queues(["due", "few"]).values()} == {3}

    def test_takes_names_twice_and_names_that_no_queue_has(self) -> None:
        make("q")
        assert measure_queues(["q", "q", "x'; --", "%s"]).keys() == {"q", "x'; --", "%s"}
        assert measure_queues([]) == {}


class TestTimeToDrain:
    def test_is_nothing_to_wait_for_when_nothing_is_due(self) -> None:
        assert Figures(waiting=5, out_per_minute=0).time_to_drain_seconds == 0

    def test_is_what_is_due_over_what_is_left_of_the_rate(self) -> None:
        assert Figures(due=30, in_per_minute=30, out_per_minute=90).time_to_drain_seconds == 30

    @pytest.mark.parametrize("coming", [60, 61])
    def test_is_never_while_as_much_comes_as_ends(self, coming: int) -> None:
        assert Figures(due=1, in_per_minute=coming, out_per_minute=60).time_to_drain_seconds is None


class TestFindBusyQueues:
    def test_finds_where_something_happens(self) -> None:
        for _ in range(3):
            make("runs", status=TaskStatus.RUNNING)
        make("comes")
        make("ends", status=TaskStatus.SUCCESS)
        assert figures.find_busy_queues(most=9) == ["runs", "ends", "comes"]
        assert figures.find_busy_queues(most=1) == ["runs"]

    def test_looks_at_the_last_ones(self, monkeypatch: pytest.MonkeyPatch) -> None:
        make("old")
        make("new")
        monkeypatch.setattr(figures, "SAMPLE", 1)
        assert figures.find_busy_queues(most=9) == ["new"]

    def test_go_first_where_there_are_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(figures, "SAMPLE", 0)
        for name in ("a", "b", "c"):
            make(name)
        make("z", status=TaskStatus.RUNNING)
        assert figures.find_some(most=4) == (["a", "b", "c", "z"], True)
        assert figures.find_some(most=3) == (["a", "b", "z"], False)


class TestListFigures:
    def test_looks_at_few_tasks_with_keys(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whether they are parked is in the rows only: 1,000 of each queue of a page took longer than all the rest."""
        monkeypatch.setattr(figures, "LEAST_COUNTED", 3)
        for _ in range(5):
            make("q", concurrency_key="k", gate=Gate.KEY)
            make("q", concurrency_key="free")
        found = figures.list_figures(["q", "p"])
        assert (found["q"].due, found["q"].gates.get("KEY", 0) <= 3, found["q"].at_least) == (5, True, True)
        assert measured().gates == {"KEY": 5}
        assert found["p"] == Figures()


class TestMeasureKeys:
    def test_finds_those_that_are_held_and_those_that_are_named(self) -> None:
        edit_queue("q", {"perKey": {"maxConcurrency": 3}}, actor="test")
        holders = [make("q", concurrency_key="a", status=TaskStatus.RUNNING, key_slot=slot).pk for slot in (0, 1)]
        make("q", concurrency_key="a", gate=Gate.KEY)
        make("q", concurrency_key="schedule:x", status=TaskStatus.SCHEDULED)
        make("q", concurrency_key="waits")
        make("p", concurrency_key="a", status=TaskStatus.RUNNING)
        set_key("q", "b", {"maxConcurrency": 7}, actor="test")
        set_key("q", "c", {"paused": True}, actor="test")
        found = figures.measure_keys("q", ["b", "c", "a"])
        assert [(each.key, each.busy, each.held, each.most, each.waiting) for each in found.values()] == [
            ("a", True, 2, 3, 1),
            ("schedule:x", True, 1, 1, 0),
            ("b", False, 0, 7, 0),
            ("c", False, 0, 0, 0),
        ]
        assert list(found["a"].holders) == holders

    def test_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(figures, "MOST_BUSY", 2)
        monkeypatch.setattr(figures, "MOST_BEHIND", 3)
        for n in range(7):
            make("q", concurrency_key=f"k{n}", status=TaskStatus.RUNNING)
            make("q", concurrency_key="k0")
        edit_queue("q", {"perKey": {"maxConcurrency": 9}}, actor="test")
        for slot in range(1, 8):
            make("q", concurrency_key="k5", status=TaskStatus.RUNNING, key_slot=slot)
        found = figures.measure_keys("q", [])
        assert [(each.key, each.held, len(each.holders), each.waiting) for each in found.values()] == [
            ("k5", 8, 5, 0),
            ("k0", 1, 1, 3),
        ]

    def test_finds_nothing_in_a_queue_without_keys(self) -> None:
        make("q")
        assert figures.measure_keys("q", []) == {}


class TestTokensOf:
    def test_are_those_of_each_rate(self) -> None:
        edit_queue("q", {"rateLimit": {"limit": 1, "periodSeconds": 60}}, actor="test")
        assert [(each.kind, each.tokens, each.next_at) for each in figures.tokens_of("q")] == [("queue", 1, None)]
        Bucket.objects.update(full_at=Now() + timedelta(seconds=50))
        [found] = figures.tokens_of("q")
        assert found.tokens == 0
        assert found.next_at is not None
        assert figures.tokens_of("p") == []


class TestMeasureTargets:
    def test_counts_what_calls_and_what_waits(self) -> None:
        make("q", target="h", status=TaskStatus.RUNNING)
        make("p", target="h", status=TaskStatus.SCHEDULED)
        make("q", target="other", status=TaskStatus.RUNNING)
        make("q", target="h", gate=Gate.TARGET)
        make("q", target="h", gate=Gate.KEY, concurrency_key="k")
        make("q", target="h", status=TaskStatus.SUCCESS)
        found = figures.measure_targets(["h", "none"])
        assert {host: (each.owned, each.waiting) for host, each in found.items()} == {"h": (2, 1), "none": (0, 0)}
        assert figures.measure_targets([]) == {}

    def test_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(figures, "MOST_BEHIND", 3)
        for _ in range(5):
            make("q", target="h", gate=Gate.TARGET)
        assert figures.measure_targets(["h"])["h"].waiting == 3
