"""Queues in metrics: the busiest by name, the others as one, and never more names than were meant."""

from __future__ import annotations

import re

import pytest

from flow_app.figures import Figures
from flow_app.models import Queue
from flow_app.queues import edit_queue
from monitoring_app import busiest, metrics
from monitoring_app.busiest import QueueReading, by_name
from monitoring_app.labels import OTHER, FirstSeen
from tasks_app.states import Gate, TaskStatus
from tests.factories import make_task
from tests.support.api import Api


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busiest, "_named", FirstSeen(busiest.MOST_EVER))
    monkeypatch.setattr(metrics, "_kept", None)


def read(loads: dict[str, int]) -> dict[str, QueueReading]:
    measured = {name: Figures(waiting=load, oldest_due_seconds=load) for name, load in loads.items()}
    return by_name([Queue.unset(name) for name in loads], measured, {})


class TestByName:
    def test_names_the_busiest_and_adds_up_the_others(self) -> None:
        readings = read({f"q{n:03}": n for n in range(150)})
        assert len(readings) == busiest.MOST_NAMED + 1
        assert (readings["q149"].waiting, readings[OTHER].waiting) == (149, sum(range(50)))
        assert readings[OTHER].oldest_due_seconds == 49

    def test_counts_a_queue_called_like_the_others_among_them(self) -> None:
        assert read({OTHER: 3, "q": 1}).keys() == {OTHER, "q"}

    def test_learns_no_more_names_than_it_may_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(busiest, "_named", FirstSeen(5))
        seen = {name for n in range(20) for name in read({f"made-up-{n}": 1})}
        assert len(seen) == 6


class TestMetrics:
    def test_have_the_figures_of_queues(self, api: Api) -> None:
        make_task(queue="mail")
        make_task(queue="mail", gate=Gate.RATE)
        make_task(queue="mail", status=TaskStatus.RUNNING)
        rate = {"limit": 60, "periodSeconds": 60, "burst": 2}
        edit_queue("mail", {"maxConcurrency": 4, "rateLimit": rate}, actor="test")
        text = api.get("/metrics").content.decode()
        found = dict(re.findall(r'^task_scheduler_(queue_\w+\{.*queue="mail".*\}) (.*)$', text, re.MULTILINE))
        assert found['queue_waiting{queue="mail"}'] == "2.0"
        assert found['queue_running{queue="mail"}'] == "1.0"
        assert found['queue_limit{queue="mail"}'] == "4.0"
        assert 'queue_rate_tokens{queue="mail"}' in found
        assert found['queue_gate_waiting{gate="RATE",queue="mail"}'] == "1.0"
        assert 'queue_oldest_due_age_seconds{queue="mail"}' in found
