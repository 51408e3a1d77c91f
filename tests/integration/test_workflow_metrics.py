"""Metrics of batches, bulk operations and deliveries: bounded, of closed sets, and every batch counted once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from access_app.sql import statement
from monitoring_app import counting, selectors, workflows
from monitoring_app.families import Families
from monitoring_app.metrics import Reading
from monitoring_app.models import MetricMark, MetricTotal
from tasks_app.models import BulkOperation
from tests.factories import make_batch
from tests.support.webhooks import make_delivery, make_endpoint
from workflows_app.callbacks.tables import WebhookEndpoint

pytestmark = pytest.mark.django_db


def samples(totals: Any = ()) -> dict[str, float]:
    """Name and labels as they are written, of what is read now."""
    with selectors.bounded(selectors.SURVEY_TIMEOUT) as cursor:
        surveyed = workflows.survey_workflows(cursor)
    reading = Reading(None, list(totals), 0, is_up=True, seconds=0.0, workflows=surveyed)
    return {
        sample.name.removeprefix("task_scheduler_")
        + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in Families(reading).collect()
        for sample in family.samples
    }


def ended(status: str, ago: float) -> None:
    make_batch(status=status, finished_at=datetime.now(UTC) - timedelta(seconds=ago))


class TestSurveyWorkflows:
    def test_of_nothing_is_nothing_by_every_label(self) -> None:
        found = samples()
        assert (found["batches OPEN"], found["batches RUNNING"], found["oldest_running_batch_age_seconds"]) == (0, 0, 0)
        assert {found[f"newest_deliveries {status}"] for status in ("PENDING", "SUCCESS", "FAILED")} == {0}
        assert {found[f"webhook_endpoints {state}"] for state in workflows.ENDPOINT_STATES} == {0}
        assert found["bulk_operations_running"] == found["bulk_operations_left_tasks"] == 0

    def test_counts_what_there_is(self) -> None:
        for status in ("OPEN", "RUNNING", "RUNNING", "SUCCESS"):
            make_batch(status=status)
        for status in ("FAILED", "PENDING", "PENDING"):
            make_delivery(status=status)
        make_endpoint("a"), make_endpoint("b"), make_endpoint("c")
        WebhookEndpoint.objects.filter(name="b").update(failing_since=datetime.now(UTC))
        WebhookEndpoint.objects.filter(name="c").update(disabled="gone", disabled_at=datetime.now(UTC))
        for state, finished in (("RUNNING", None), ("DONE", datetime.now(UTC))):
            counts = {
                "count": 10,
                "touched": 3,
                "skipped": 2,
                "failed": 1,
                "filter": {"status": ["FAILED"]},
                "barred": [],
            }
            ends = {"id": make_batch().pk, "position": "0" * 32, "before": "f" * 32, "asked_by": "me"}
            BulkOperation.objects.create(action="cancel", state=state, finished_at=finished, **ends, **counts)
        found = samples()
        assert (found["batches OPEN"], found["batches RUNNING"]) == (1, 4)
        assert 0 < found["oldest_running_batch_age_seconds"] < 60
        assert (found["newest_deliveries FAILED"], found["newest_deliveries PENDING"]) == (1, 2)
        assert [found[f"webhook_endpoints {state}"] for state in workflows.ENDPOINT_STATES] == [1, 1, 1]
        names = ("running", "done_tasks", "left_tasks")
        assert [found[f"bulk_operations_{name}"] for name in names] == [1, 6, 4]

    def test_walks_over_no_ended_batch(self) -> None:
        make_batch()
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(f"EXPLAIN {statement('survey_workflows')}", {"most": 10, "newest": 10})
            assert "batches_open" in str(cursor.fetchall())


class TestCountNewBatches:
    def test_counts_each_end_once_from_the_first_look_on(self) -> None:
        ended("FAILED", 300)
        for _ in range(2):  # the mark, and since when it counts
            counting.count_new_batches()
        MetricMark.objects.filter(name="batches").update(late_at=self.stamp(200))
        for status, ago in (("FAILED", 190), ("SUCCESS", 180), ("SUCCESS", 100), ("CANCELLED", 5)):
            ended(status, ago)
        for _ in range(3):
            counting.count_new_batches()
        assert self.totals() == {"FAILED": 1, "SUCCESS": 2}
        found = samples(counting._totals())
        assert [found[f"batches_ended_total {status}"] for status in ("SUCCESS", "FAILED", "CANCELLED")] == [2, 1, 0]

    def test_counts_some_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(counting, "MOST_COUNTED", 2)
        MetricMark.objects.update_or_create(name="batches", defaults={"late_at": self.stamp(400)})
        for ago in (350, 340, 330, 320, 310):
            ended("SUCCESS", ago)
        seen = []
        for _ in range(4):
            counting.count_new_batches()
            seen.append(self.totals().get("SUCCESS"))
        assert seen == [2, 4, 5, 5]

    def stamp(self, ago: float) -> str:
        return f"{datetime.now(UTC) - timedelta(seconds=ago):%Y-%m-%dT%H:%M:%S.%f}Z"

    def totals(self) -> dict[str, int]:
        return dict(MetricTotal.objects.filter(metric="batches").values_list("status", "n"))
