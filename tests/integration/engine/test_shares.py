"""What tenants have had of a shared queue: added up from the attempts of the last hour, never more than a sample."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from flow_app import shares
from flow_app.queue_keys import set_key
from flow_app.queues import edit_queue
from flow_app.shares import measure_shares
from tasks_app.states import Gate, TaskStatus
from tests.factories import make_execution, make_task

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def shared() -> None:
    edit_queue("q", {"fairBy": "fairKey"}, actor="test")


def ran(tenant: str | None, *, ago: int, minutes: int, **columns: Any) -> None:
    """An attempt that began so many minutes ago."""
    task = make_task(**{"queue": "q", "fair_key": tenant, "status": TaskStatus.SUCCESS} | columns)
    started = timezone.now() - ago * MINUTE
    make_execution(task, started_at=started, finished_at=started + minutes * MINUTE)


def used() -> dict[str, tuple[float, float]]:
    return {each.tenant: (round(each.used, 2), round(each.entitled, 2)) for each in measure_shares("q").rows}


class TestMeasureShares:
    def test_adds_up_what_ran_within_the_hour(self) -> None:
        ran("a", ago=50, minutes=30)
        ran("a", ago=20, minutes=15)
        ran(None, ago=10, minutes=5)
        ran("b", ago=70, minutes=20)  # half of it before
        ran("c", ago=90, minutes=20)
        ran("other", ago=10, minutes=5, queue="p")
        make_task(queue="q", fair_key="b", status=TaskStatus.RUNNING, started_at=timezone.now() - 2 * MINUTE)
        make_task(queue="q", fair_key="d", status=TaskStatus.SCHEDULED)
        make_task(queue="q", fair_key="wants", tenant="wants", gate=Gate.TURN)
        found = measure_shares("q")
        assert found.span == timedelta(hours=1)
        assert used() == {"a": (0.75, 0.26), "b": (0.2, 0.26), "": (0.08, 0.26), "wants": (0.0, 0.26)}

    def test_goes_by_weights(self) -> None:
        set_key("q", "a", {"weight": 3}, actor="test")
        ran("a", ago=50, minutes=6)
        ran("b", ago=50, minutes=42)
        assert used() == {"b": (0.7, 0.2), "a": (0.1, 0.6)}
        assert [round(each.lent, 2) for each in measure_shares("q").rows] == [-0.5, 0.5]

    def test_tells_tenants_apart_as_the_queue_does(self) -> None:
        ran("x", ago=50, minutes=6, created_by="key:a")
        ran("x", ago=50, minutes=6, created_by="key:b")
        edit_queue("q", {"fairBy": "createdBy"}, actor="test")
        assert set(used()) == {"key:a", "key:b"}

    def test_goes_no_further_back_than_its_sample(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shares, "SAMPLE", 2)
        ran("a", ago=50, minutes=10)
        ran("a", ago=30, minutes=10)
        ran("b", ago=12, minutes=2)
        found = measure_shares("q")
        assert timedelta(minutes=19) < found.span < timedelta(minutes=21)
        assert [(each.tenant, round(each.used, 1)) for each in found.rows] == [("b", 0.1)]

    def test_is_nothing_where_nobody_shares(self) -> None:
        ran("a", ago=50, minutes=6)
        edit_queue("q", {"fairBy": None}, actor="test")
        assert measure_shares("q").rows == measure_shares("p").rows == []
