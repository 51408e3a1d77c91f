"""A scrape over HTTP: its formats, and what is answered while the database is away."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from access_app.http import authentication
from access_app.keys import revoke_key
from access_app.models import ApiKey
from monitoring_app import metrics, scrapers, selectors
from tests.factories import make_key
from tests.support.api import Api, problem_of
from tests.support.environment_names import ROOT

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
#: What Prometheus 2 and 3 send.
PROMETHEUS_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"  # noqa: E501
PROMETHEUS_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"  # noqa: E501


@pytest.fixture(autouse=True)
def nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_kept", None)
    monkeypatch.setattr(scrapers, "remembered", scrapers.Remembered())


class TestFormats:
    @pytest.mark.parametrize(
        ("accept", "content_type"),
        [
            ("", PLAIN),
            ("*/*", PLAIN),
            ("text/plain", PLAIN),
            ("text/html,application/xhtml+xml,*/*;q=0.8", PLAIN),
            ("application/json", PLAIN),
            ("text/plain;q=1,application/openmetrics-text;q=0.5", PLAIN),
            ("application/openmetrics-text;version=abc, x", OPEN_METRICS),
            ('application/openmetrics-text;version="9.9";escaping=\x01', OPEN_METRICS),
            ("application/openmetrics-text", OPEN_METRICS),
            (PROMETHEUS_2, OPEN_METRICS),
            (PROMETHEUS_3, OPEN_METRICS),
            (";;;,,,=", PLAIN),
        ],
    )
    def test_follow_what_is_accepted(self, api: Api, accept: str, content_type: str) -> None:
        response = api.get("/metrics", Accept=accept)
        assert (response.status_code, response["Content-Type"]) == (200, content_type)

    def test_say_the_same_to_the_parsers_of_both(self, api: Api) -> None:
        plain = api.get("/metrics").content.decode()
        open_metrics = api.get("/metrics", Accept="application/openmetrics-text").content.decode()
        found = [
            {
                (sample.name, *sorted(sample.labels.items())): sample.value
                for family in families
                for sample in family.samples
                if sample.name.startswith("task_scheduler_")
            }
            for families in (parse_plain(plain), parse_open_metrics(open_metrics))
        ]
        assert found[0] == found[1]
        assert len(found[0]) > 100
        assert open_metrics.endswith("# EOF\n") and open_metrics.count("# EOF") == 1
        assert "django_http_requests_before_middlewares_total" in open_metrics

    def test_hold_every_name_and_label_value_of_the_alerts_in_the_documents(self, api: Api) -> None:
        series = [
            (sample.name, sample.labels)
            for family in parse_plain(api.get("/metrics").content.decode())
            for sample in family.samples
        ]
        documents = "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
        used = set(re.findall(r"\b(task_scheduler_(?:\w+_(?:total|seconds|up|alive|live|used|allowed)))\b", documents))
        assert len(used) >= 9
        for name in used:
            assert any(name in (found, found.removesuffix("_bucket")) for found, _ in series), name
        for name, label, values in re.findall(r'(task_scheduler_\w+){(\w+)=~?"([A-Z|\\\\]+)"}', documents):
            for value in re.split(r"\\?\|", values):
                assert any((found, labels.get(label)) == (name, value) for found, labels in series), (name, value)

    def test_are_well_formed_with_all_processes_in_one(self, api: Api, monkeypatch: Any, tmp_path: Any) -> None:
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
        text = api.get("/metrics", Accept="application/openmetrics-text").content.decode()
        assert "task_scheduler_database_up" in {family.name for family in parse_open_metrics(text)}


@pytest.fixture
def database_goes_away(monkeypatch: pytest.MonkeyPatch) -> Any:
    def go() -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise OperationalError("connection refused")

        monkeypatch.setattr(authentication, "find_key", fail)
        monkeypatch.setattr(selectors, "survey", fail)
        monkeypatch.setattr(metrics, "_kept", None)

    return go


@pytest.mark.django_db
class TestDatabaseAway:
    def test_is_told_to_a_scraper_that_was_valid_before(self, database_goes_away: Any) -> None:
        api = Api(make_key())
        assert b"task_scheduler_database_up 1.0" in api.get("/metrics").content
        database_goes_away()
        for accept in ("", "application/openmetrics-text"):
            response = api.get("/metrics", Accept=accept)
            assert response.status_code == 200
            assert b"task_scheduler_database_up 0.0" in response.content
            assert b"django_http_requests" in response.content
            assert b"task_scheduler_attempts_total{" not in response.content

    def test_is_503_for_everybody_else_and_everywhere_else(self, database_goes_away: Any) -> None:
        known = Api(make_key(), allow_5xx=True)
        known.get("/metrics")
        database_goes_away()
        problem_of(Api("ts_unknown", allow_5xx=True).get("/metrics"), 503)
        for path in ("/tasks", "/health/metrics", "/queues", "/schema"):
            problem_of(known.get(path), 503)
        assert Api(None).get("/metrics").status_code == 401

    def test_costs_one_look_for_the_key_and_no_second_one(
        self, database_goes_away: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        api = Api(make_key())
        api.get("/metrics")
        database_goes_away()
        monkeypatch.setattr(metrics, "read", lambda: pytest.fail("waited for the database a second time"))
        assert api.get("/metrics").status_code == 200

    def test_forgets_a_key_that_was_found_revoked(self, database_goes_away: Any) -> None:
        api = Api(make_key(name="old"), allow_5xx=True)
        api.get("/metrics")
        revoke_key(ApiKey.objects.get(name="old"), actor="test")
        problem_of(api.get("/metrics"), 401)
        database_goes_away()
        problem_of(api.get("/metrics"), 503)


class TestRemembered:
    KEY = ApiKey(name="k", scopes=["tasks:read"])

    def test_keeps_a_key_for_an_hour(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = [1000.0]
        monkeypatch.setattr(scrapers.time, "monotonic", lambda: clock[0])
        known = scrapers.Remembered()
        known.note("s", self.KEY)
        clock[0] += 3600
        assert known.find("s") is self.KEY
        clock[0] += 1
        assert known.find("s") is None
        assert known.find("t") is None

    def test_does_not_outlive_the_expiry_of_a_key(self) -> None:
        known = scrapers.Remembered()
        for ahead, found in ((60, True), (-1, False)):
            key = ApiKey(name="k", scopes=[], expires_at=datetime.now(UTC) + timedelta(seconds=ahead))
            known.note("s", key)
            assert (known.find("s") is not None) == found

    def test_keeps_only_the_latest(self) -> None:
        known = scrapers.Remembered()
        known.note("first", self.KEY)
        for n in range(scrapers.MOST_KEPT - 1):
            known.note(f"s{n}", self.KEY)
        known.note("first", self.KEY)
        known.note("one more", self.KEY)
        assert known.find("first") and known.find("one more")
        assert known.find("s0") is None
