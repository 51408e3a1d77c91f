"""Strangers choose methods, hosts, paths, queues, types and headers; the number of time series is chosen by us."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from math import prod
from typing import Any

import prometheus_client
import psycopg
import pytest

from monitoring_app import families, labels, metrics
from monitoring_app.counting import BOUNDS, Total
from monitoring_app.labels import FirstSeen
from monitoring_app.request_metrics import CLOSED
from schedules_app.firing_rules import FireState
from tasks_app.states import FINAL, ExecutionStatus, TaskStatus, WorkerState
from tests.support.api import Api

METHODS = len(labels.METHODS) + 1
#: Values of each label of django-prometheus, with the one for the rest.
SIZES = {
    "method": METHODS,
    "view": len(labels.views()) + 1,
    "status": len(labels.STATUSES) + 1,
    "transport": len(labels.TRANSPORTS) + 1,
    "charset": len(labels.CHARSETS) + 1,
    "templatename": 1,
    "alias": 2,
    "vendor": 1,
    "version": 1, "implementation": 1, "major": 1, "minor": 1, "patchlevel": 1, "generation": 3,
}  # fmt: skip
PATHS = ["/", "/tasks", "/tasks/bulk", "/health/live", "/metrics", "/docs", "/admin/", "/admin/login/"]


def samples() -> int:
    return sum(len(family.samples) for family in prometheus_client.REGISTRY.collect())


def bound_of(family: Any) -> int:
    """The most samples a family can have: the product of its labels' closed sets, times those of one child."""
    types = len(psycopg.errors.__dict__) if "db" in family.name else labels.MOST_EXCEPTIONS + 1
    children: dict[frozenset[tuple[str, str]], int] = {}
    for sample in family.samples:
        key = frozenset((name, value) for name, value in sample.labels.items() if name != "le")
        children[key] = children.get(key, 0) + 1
    names = {name for key in children for name, _ in key}
    sizes = SIZES | {"type": types}
    return prod(sizes[name] for name in names) * max(children.values(), default=0)


def word(rng: random.Random) -> str:
    return "".join(rng.choices(string.ascii_letters + "-_.!", k=rng.randint(1, 12)))


def stranger(rng: random.Random) -> tuple[str, str, dict[str, str]]:
    made_up = word(rng)
    path = rng.choice([*PATHS, f"/{made_up}", f"/tasks/{made_up}", f"/queues/{made_up}/pause", f"/admin/{made_up}/"])
    method = rng.choice([*labels.METHODS, word(rng).upper(), word(rng)])
    headers = {
        "Host": rng.choice(["localhost", word(rng)]),
        "X-Forwarded-Proto": word(rng),
        "X-Requested-With": rng.choice(["XMLHttpRequest", word(rng)]),
        "Accept": word(rng),
        "User-Agent": word(rng),
        "Content-Type": f"{word(rng)}/{word(rng)}; charset={word(rng)}",
        "Authorization": f"Bearer ts_{word(rng)}",
    }
    return method, f"{path}?{word(rng)}={word(rng)}", headers


@pytest.fixture
def flood(api: Api) -> Iterator[Any]:
    rng = random.Random(7)
    api.client.raise_request_exception = False

    def send(count: int) -> None:
        for _ in range(count):
            method, path, headers = stranger(rng)
            if rng.random() < 0.5:
                headers["Authorization"] = f"Bearer {api.secret}"
            api.client.generic(method, path, b"", headers["Content-Type"], headers=headers)

    yield send


class TestRequests:
    def test_of_strangers_make_no_series_beyond_the_closed_sets(self, flood: Any) -> None:
        flood(200)
        for family in prometheus_client.REGISTRY.collect():
            assert len(family.samples) <= bound_of(family), family.name

    @pytest.mark.parametrize("path", ["/tasks", "/health/live", "/nope", "/admin/login/", "/", "/docs"])
    def test_with_invented_methods_add_nothing(self, anonymous: Api, path: str) -> None:
        anonymous.client.generic("BREW", path)
        before = samples()
        for n in range(30):
            anonymous.client.generic(f"BREW{n}", path)
        assert samples() == before

    def test_give_every_label_a_value_of_its_set(self, flood: Any) -> None:
        flood(100)
        closed = {
            "method": {*labels.METHODS, labels.OTHER},
            "view": {*labels.views(), labels.OTHER},
            "status": {*labels.STATUSES, labels.OTHER},
            "transport": {*labels.TRANSPORTS, labels.OTHER},
            "charset": {*labels.CHARSETS, labels.OTHER},
        }
        for family in prometheus_client.REGISTRY.collect():
            for sample in family.samples:
                for name, value in sample.labels.items():
                    assert value in closed.get(name, {value}), (sample.name, name, value)

    def test_are_counted_by_the_methods_a_view_takes(self, api: Api) -> None:
        before = count("django_http_responses_total_by_status_view_method_total", view="health-live")
        api.get("/health/live")
        api.client.generic("BREW", "/health/live")
        api.client.generic("DELETE", "/health/live")
        after = count("django_http_responses_total_by_status_view_method_total", view="health-live")
        assert after[("GET", "200")] == before.get(("GET", "200"), 0) + 1
        assert after[(labels.OTHER, "405")] == before.get((labels.OTHER, "405"), 0) + 2
        assert {method for method, _ in after} <= {"GET", "HEAD", labels.OTHER}

    def test_know_all_pages_of_the_admin_as_one(self, admin_client: Any) -> None:
        admin_client.get("/admin/tasks_app/task/")
        views = {view for view, _ in count("django_http_responses_total_by_status_view_method_total", by="view")}
        assert "admin" in views
        assert not [view for view in views if view.startswith("admin:")]


def count(name: str, *, by: str = "method", **wanted: str) -> dict[tuple[str, str], float]:
    found = {}
    for family in prometheus_client.REGISTRY.collect():
        for sample in family.samples:
            if sample.name == name and wanted.items() <= sample.labels.items():
                found[(sample.labels[by], sample.labels["status"])] = sample.value
    return found


class TestClosedSets:
    def test_every_label_of_requests_has_one(self) -> None:
        of_requests = {
            name
            for family in prometheus_client.REGISTRY.collect()
            if family.name.startswith("django_http")
            for sample in family.samples
            for name in sample.labels
        } - {"le"}
        assert of_requests <= CLOSED.keys()

    def test_names_of_exceptions_are_the_first_few(self) -> None:
        first = FirstSeen(2)
        assert [first(name) for name in ("A", "B", "C", "A")] == ["A", "B", labels.OTHER, "A"]


class TestOwnMetrics:
    def test_take_unknown_values_of_old_rows_for_the_rest(self) -> None:
        totals = [
            Total(metric, f"{word(random.Random(n))}{n}", f"S{n}", f"T{n}", 1.0, 1, 1.0)
            for n in range(200)
            for metric in ("attempts", "ends", "duration", "start_delay", "late", "fires", "lateness")
        ]
        for status in (*FINAL, *ExecutionStatus):
            totals += [Total("attempts", f"Old{n}", status, TaskStatus.FAILED, 1.0, 1, 1.0) for n in range(50)]
        found = list(families.Families(metrics.Reading(None, totals, 0, True, 0.0)).collect())
        values: dict[str, set[str]] = {}
        for family in found:
            for sample in family.samples:
                for name, value in sample.labels.items():
                    values.setdefault(name, set()).add(value)
        assert values["type"] == {*labels.task_types(), labels.OTHER}
        assert values["status"] <= {*ExecutionStatus, *TaskStatus, labels.OTHER}
        assert values["state"] <= {*FireState, *WorkerState, labels.OTHER}
        assert values["le"] == {families._bound(bound) for bound in BOUNDS}
