"""``GET /health/demand``: queues and workers that are meant, from their rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

import pytest
from django.utils import timezone

from flow_app import figures, freezes
from flow_app.freezes import NewFreeze
from flow_app.queues import edit_queue, pause_queue
from tasks_app import services
from tasks_app.fields import NewTask
from tasks_app.states import Gate
from tests.factories import make_task
from tests.support.api import Api, fields_of
from tests.support.pages import make_worker

PAST = timedelta(minutes=1)


def make(queue: str = "q", ago: timedelta = PAST, **columns: Any) -> None:
    make_task(queue=queue, run_at=timezone.now() - ago, **columns)


def asked(api: Api, query: str = "") -> Any:
    response = api.get(f"/health/demand?{query}")
    assert response.status_code == 200, response.content
    return response.json()


class TestDemand:
    def test_of_an_empty_system_is_nothing(self, api: Api) -> None:
        assert asked(api) == {
            "slots": 0, "running": 0, "startable": 0, "soon": 0, "blocked": {}, "workersWanted": 0, "atLeast": False,
        }  # fmt: skip

    def test_counts_what_is_due_or_soon_of_the_queues_that_are_named(self, api: Api) -> None:
        for queue in "abc":
            make(queue)
            make(queue, ago=timedelta(seconds=-30))
            make(queue, ago=timedelta(seconds=-600))
        assert [asked(api, "queues=a,b")[name] for name in ("startable", "soon")] == [2, 2]
        assert [asked(api)[name] for name in ("startable", "soon")] == [3, 3]
        assert asked(api, "horizonSeconds=0")["soon"] == 0
        assert asked(api, "horizonSeconds=86400")["soon"] == 6

    def test_counts_the_slots_of_the_workers_that_are_meant(self, api: Api) -> None:
        make_worker(slots=4, queues=["a"], labels={"zone": "a"})
        make_worker(slots=8, labels={"zone": "b", "gpu": "x"})
        make_worker(slots=16, queues=["c"])
        slots = [asked(api, query)["slots"] for query in ("", "queues=a", "queues=b", "labels=zone=b", "labels=zone=c")]
        assert slots == [28, 12, 8, 8, 0]

    def test_leaves_out_what_no_worker_helps(self, api: Api) -> None:
        for _ in range(3):
            make("paused")
            make("closed")
            make("keyed", concurrency_key="k")
        make("free")
        pause_queue("paused", actor="test")
        edit_queue("closed", {"maxConcurrency": 0}, actor="test")
        found = asked(api)
        assert found["startable"] == 2
        assert found["blocked"] == {"KEY_LIMIT": 2, "QUEUE_CLOSED": 3, "QUEUE_PAUSED": 3}

    def test_leaves_out_what_is_frozen_whether_a_pass_has_met_it_or_not(self, api: Api) -> None:
        """While there is no worker no pass is made, and none may be asked for because of a freeze."""
        freezes.freeze(NewFreeze(queues=["held"], types=["HTTP"]), actor="test")
        for queue in ("held", "q"):
            make(queue)
            make(queue, type="HTTP", target="h")
        make("q", type="HTTP", target="h", gate=Gate.FREEZE)
        make("q", ago=-PAST, type="HTTP", target="h")
        found = asked(api, "horizonSeconds=300")
        assert (found["startable"], found["soon"], found["blocked"]) == (1, 0, {"FREEZE": 4})

    def test_looks_again_at_the_few_queues_that_hold_nearly_everything(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(figures, "MOST_COUNTED", 20)
        monkeypatch.setattr(figures, "LEAST_COUNTED", 2)
        for _ in range(12):
            make("big")
        for n in range(9):
            make(f"small{n}")
        assert (asked(api)["startable"], asked(api)["atLeast"]) == (21, False)

    @pytest.mark.parametrize(
        "query",
        [
            "queues=", "queues=a,", "queues=a b", f"queues={','.join('a' * 101)}", "labels=", "labels=a",
            "labels=a=", "labels=a=b,a=c", f"labels={','.join(f'k{n}=v' for n in range(9))}",
            "horizonSeconds=-1", "horizonSeconds=86401", "horizonSeconds=1.5", "horizon=5",
        ],
    )  # fmt: skip
    def test_names_what_it_cannot_read(self, api: Api, query: str) -> None:
        assert fields_of(api.get(f"/health/demand?{query}")) == {query.partition("=")[0]}


def create(count: int = 1, **fields: Any) -> None:
    services.create_tasks([NewTask(**{"type": "DUMMY", "queue": "q"} | fields)] * count, created_by="test")


class TestMeasureNeeds:
    GPU: ClassVar[dict[str, Any]] = {"required_labels": {"gpu": "a"}}

    def test_counts_what_workers_of_these_labels_could_run(self, api: Api) -> None:
        create(2, **self.GPU)
        create(3)
        assert asked(api)["startable"] == 5, "any may be started"
        assert asked(api, "labels=gpu=a")["startable"] == 5
        found = asked(api, "labels=gpu=b")
        assert (found["startable"], found["blocked"]) == (3, {"NO_WORKER_FOR_LABELS": 2})

    def test_goes_by_what_live_workers_have(self, api: Api) -> None:
        create(2, **self.GPU)
        make_worker(slots=4, labels={"zone": "a"})
        assert asked(api)["blocked"] == {"NO_WORKER_FOR_LABELS": 2}
        make_worker(slots=4, labels={"zone": "b", "gpu": "a"}, queues=["other"])
        assert asked(api)["startable"] == 0
        make_worker(slots=4, labels={"zone": "b", "gpu": "a"}, queues=["q"])
        assert [asked(api, query)["startable"] for query in ("", "labels=zone=b", "labels=zone=a")] == [2, 2, 0]

    def test_leaves_out_what_is_too_large_for_them(self, api: Api) -> None:
        create(1, slots=17)
        create(2, slots=16)
        found = asked(api)
        assert (found["startable"], found["workersWanted"]) == (2, 2)
        assert found["blocked"] == {"NO_WORKER_LARGE_ENOUGH": 1}
        make_worker(slots=8)
        assert asked(api)["blocked"] == {"NO_WORKER_LARGE_ENOUGH": 3}
        make_worker(slots=32)
        found = asked(api)
        assert (found["startable"], found["blocked"], found["workersWanted"]) == (3, {}, 3)

    def test_is_about_these_queues_and_what_falls_due_soon(self, api: Api) -> None:
        create(1, slots=2, schedule_at=timezone.now() + timedelta(seconds=30))
        create(1, slots=2, queue="other")
        create(1, slots=2, schedule_at=timezone.now() + timedelta(hours=1))
        found = asked(api, "queues=q")
        assert (found["startable"], found["soon"]) == (0, 1)
