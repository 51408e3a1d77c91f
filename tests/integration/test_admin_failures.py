"""The pages of failures in groups, the way from one to its retry, and the list of what waits for another attempt."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tasks_app import failure_groups
from tasks_app.admin.failures import picture
from tasks_app.models import BulkOperation
from tests.factories import make_execution, make_failure, make_task

pytestmark = pytest.mark.django_db

FAILURES = "/admin/tasks_app/failuregroup/"
TASKS = "/admin/tasks_app/task/"
MANY = "/admin/tasks_app/bulkoperation/add/"


def page_of(fingerprint: str) -> str:
    return f"{FAILURES}{fingerprint}/change/"


def counts(client: Client, query: str = "") -> list[tuple[str, int]]:
    response = client.get(f"{FAILURES}?{query}")
    assert response.status_code == 200, response.content
    return [(row.message, row.found.count) for row in response.context["cl"].result_list]


class TestTheList:
    def test_counts_the_groups_of_the_time_that_is_chosen(self, staff: Client) -> None:
        for hours in (0.5, 20, 30):
            make_failure("x", ago=3600 * hours)
        assert [counts(staff, query) for query in ("", "within=1h", "within=7d")] == [
            [("x", 2)],
            [("x", 1)],
            [("x", 3)],
        ]

    def test_goes_by_number_or_by_the_last_one(self, staff: Client) -> None:
        for message, ago in (("many", 90), ("many", 80), ("late", 10)):
            make_failure(message, ago=ago)
        assert [name for name, _ in counts(staff)] == ["many", "late"]
        assert [name for name, _ in counts(staff, "by=last")] == ["late", "many"]

    def test_is_narrowed_by_queue_type_and_code(self, staff: Client) -> None:
        make_failure("x", queue="mails")
        make_failure("x")
        assert counts(staff, "queue=mails") == [("x", 1)]
        assert counts(staff, "type=HTTP") == []
        assert counts(staff, "code=TASK_FAILED") == [("x", 2)]

    @pytest.mark.parametrize("query", ["queue=a b", "code=a%00b", "within=1y", "by=name", "pk=x"])
    def test_refuses_what_it_cannot_keep(self, staff: Client, query: str) -> None:
        assert staff.get(f"{FAILURES}?{query}").status_code == 400

    def test_says_when_it_takes_too_long(self, staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(failure_groups, "LONGEST_COUNT", timedelta(milliseconds=5))
        monkeypatch.setattr(failure_groups, "statement", lambda name: "SELECT pg_sleep(5)")
        response = staff.get(FAILURES)
        assert response.status_code == 400
        assert b"takes more than 5 s" in response.content

    def test_costs_as_many_statements_for_any_number_of_groups(self, staff: Client) -> None:
        spent = []
        staff.get(FAILURES)  # what Django keeps in mind from then on
        for message in ("a", "b c", "d e f"):
            make_failure(message)
            with CaptureQueriesContext(connection) as queries:
                staff.get(FAILURES)
            spent.append(len(queries))
        assert spent[0] == spent[2] <= 15


class TestThePage:
    def test_shows_its_latest_tasks(self, staff: Client) -> None:
        failures = [make_failure("x", ago=ago) for ago in (30, 20, 10)]
        html = staff.get(page_of(failures[0].fingerprint)).content.decode()
        places = [html.index(str(each.task_id)) for each in failures]
        assert places == sorted(places, reverse=True)

    def test_leads_to_the_retry_of_what_it_shows(self, staff: Client) -> None:
        """Three steps from the list: the page, a time, what was looked at; then the number is typed."""
        wanted = make_failure("order 1", ago=600)
        make_failure("order 2", ago=7200)
        html = staff.get(page_of(wanted.fingerprint)).content.decode()
        [url] = [unescape(href) for href in re.findall(r'href="([^"]*action=retry[^"]*)">Last hour', html)]
        form = staff.get(url)
        assert form.context["form"].initial["action"] == "retry"
        asked = {"action": "retry", "filter": form.context["form"].initial["filter"], "reason": "fixed", "rate": "50"}
        looked = staff.post(MANY, asked).context
        shown = {name: looked["form"].data[name] for name in ("filter", "token")}
        begun = staff.post(MANY, {**asked, **shown, "confirm": str(looked["found"].count)})
        assert begun.status_code == 302
        operation = BulkOperation.objects.get()
        assert (operation.count, operation.reason, operation.rate_per_second) == (1, "fixed", 50)
        assert operation.filter["failure"] == wanted.fingerprint

    def test_says_to_whom_it_offers_no_retry_why_not(self, viewer: Client) -> None:
        html = viewer.get(page_of(make_failure("x").fingerprint)).content.decode()
        assert "action=retry" not in html
        assert "tasks_app.add_bulkoperation" in html


class TestPicture:
    def test_has_a_bar_for_each_hour_with_a_failure(self) -> None:
        drawn = picture([0] * 22 + [1, 1000])
        assert drawn.count("M") == 2
        assert "M66 16v-1h" in drawn
        assert "M69 16v-16h" in drawn
        assert "1,001 in the last 24 hours, at most 1,000 in one" in drawn

    def test_of_nothing_is_none(self) -> None:
        assert "svg" not in picture([0] * 24)


class TestRetrying:
    def test_lists_what_waits_for_another_attempt_with_its_last_error(self, staff: Client) -> None:
        task = make_task(attempt=1, retry_count=1)
        make_execution(task, status="FAILED", task_status="PENDING", error_code="NETWORK", error_message="no such host")
        make_task()
        response = staff.get(f"{TASKS}?retrying=yes")
        assert [row.pk for row in response.context["cl"].result_list] == [task.pk]
        assert b"no such host</span>" in response.content

    def test_is_acted_on_as_it_is_shown(self, staff: Client) -> None:
        form = staff.get(f"{MANY}?retrying=yes&queue=a").context["form"]
        assert '"retrying": "true"' in form.initial["filter"]


class TestTaskFilters:
    def test_by_group_and_end_are_those_of_the_api(self, staff: Client) -> None:
        failure = make_failure("x")
        make_failure("y")
        query = f"failure={failure.fingerprint}&ended_after=2020-01-01T00:00&ended_before=2999-01-01T00:00"
        rows: list[Any] = staff.get(f"{TASKS}?{query}").context["cl"].result_list
        assert [row.pk for row in rows] == [failure.task_id]
        assert staff.get(f"{TASKS}?failure=x").status_code == 400
