"""Demand: what more workers could help, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from flow_app.demand import USUAL_SLOTS, Demand, Needy, demand
from flow_app.figures import Figures
from flow_app.models import Queue


def of(found: Figures, *needy: Needy, workers: int = 1, slots: int = 4, **columns: Any) -> Demand:
    queue = Queue(name="q", version=0, pause_reason="", paused_by="", **columns)
    return demand([queue], {"q": found}, workers=workers, slots=slots, needy=needy)


class TestDemand:
    def test_is_what_runs_and_what_could(self) -> None:
        found = of(Figures(due=5, soon=2, running=3, scheduled=1))
        assert (found.slots, found.running, found.startable, found.soon, found.blocked) == (4, 4, 5, 2, {})
        assert found.workers_wanted == 3

    def test_of_nothing_wants_no_worker(self) -> None:
        assert of(Figures()).workers_wanted == 0

    @pytest.mark.parametrize(
        ("columns", "startable", "soon", "blocked"),
        [
            ({"max_concurrency": 0}, 0, 0, {"QUEUE_CLOSED": 5}),
            ({"max_concurrency": 3}, 0, 0, {"QUEUE_LIMIT": 5}),
            ({"max_concurrency": 6}, 2, 0, {"QUEUE_LIMIT": 3}),
            ({"max_concurrency": 10}, 5, 1, {}),
            ({"max_concurrency": 99}, 5, 2, {}),
            ({"rate_limit": 3, "rate_period": 2, "rate_burst": 1}, 3, 0, {"RATE_LIMIT": 2}),
            ({"rate_limit": 3, "rate_period": 2, "rate_burst": 1, "max_concurrency": 5}, 1, 0, {"QUEUE_LIMIT": 4}),
            ({"paused_at": timezone.now()}, 0, 0, {"QUEUE_PAUSED": 5}),
        ],
    )
    def test_counts_no_task_that_its_queue_holds(
        self, columns: dict[str, Any], startable: int, soon: int, blocked: dict[str, int]
    ) -> None:
        found = of(Figures(due=5, soon=2, running=3, scheduled=1), **columns)
        assert (found.startable, found.soon, found.blocked) == (startable, soon, blocked)

    def test_counts_no_task_behind_a_gate_or_another_of_its_key(self) -> None:
        found = of(Figures(due=5, behind_keys=3, gates={"KEY": 7, "RATE": 2, "APPROVAL": 1}))
        assert found.startable == 2
        assert found.blocked == {"APPROVAL": 1, "KEY_LIMIT": 10, "RATE_LIMIT": 2}

    def test_goes_by_the_usual_slots_while_no_worker_is_alive(self) -> None:
        assert of(Figures(due=USUAL_SLOTS + 1), workers=0, slots=0).workers_wanted == 2

    def test_says_when_there_is_more(self) -> None:
        assert of(Figures(due=5, at_least=True)).at_least

    def test_counts_no_task_that_no_worker_could_run(self) -> None:
        able, unable = Needy("q", 1, 2, 1, None), Needy("q", 1, 3, 2, "NO_WORKER_FOR_LABELS")
        found = of(Figures(due=6, soon=3), able, unable)
        assert (found.startable, found.soon, found.blocked) == (3, 1, {"NO_WORKER_FOR_LABELS": 3})
        assert of(Figures(due=1), unable).startable == 0

    def test_wants_workers_for_the_slots_that_tasks_take(self) -> None:
        large = Needy("q", 3, 2, 0, None)
        assert of(Figures(due=2), large).workers_wanted == 2
        assert of(Figures(due=4), large).workers_wanted == 2
        assert of(Figures(running=1, owned_slots=9)).workers_wanted == 3
        assert of(Figures(due=2), large, max_concurrency=1).workers_wanted == 1
