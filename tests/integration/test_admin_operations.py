"""Acting on many from the admin: from the filters of the list to a typed number, by those who may."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.http import QueryDict
from django.test import Client

from access_app.refusals import InvalidInput
from tasks_app.admin.operation_form import filter_of
from tasks_app.models import BulkOperation
from tests.factories import make_operation, make_task, unknown_id
from tests.support.forms import forms_of
from tests.support.people import sign_in

pytestmark = pytest.mark.django_db

TASKS = "/admin/tasks_app/task/"
OPERATIONS = "/admin/tasks_app/bulkoperation/"
NEW = f"{OPERATIONS}add/"


def fields(response: Any) -> dict[str, str]:
    """The form that begins an operation, as a browser would send it."""
    [found] = [values for _, values in forms_of(response.content.decode()) if "filter" in values]
    return {name: values[0] for name, values in found.items()}


class TestFromTheList:
    def test_leads_to_the_same_filter(self, staff: Client) -> None:
        make_task(queue="mail", status="FAILED")
        page = staff.get(f"{TASKS}?status=FAILED&queue=mail").content.decode()
        assert f"{NEW}?status=FAILED&amp;queue=mail" in page
        assert '"queue": "mail"' in fields(staff.get(f"{NEW}?status=FAILED&queue=mail"))["filter"]

    def test_is_offered_for_filters_and_to_who_may(self, client: Client) -> None:
        make_task()
        sign_in(client, "view_task", "change_task")
        assert NEW not in client.get(f"{TASKS}?status=PENDING").content.decode()
        assert client.get(NEW).status_code == 403

    def test_is_not_offered_for_everything(self, staff: Client) -> None:
        make_task()
        assert NEW not in staff.get(TASKS).content.decode()

    @pytest.mark.parametrize(
        "query", ["colour=red", f"q={UUID(int=7)}", "created=ever", "after=noon", "worker=x&status=FAILED"]
    )
    def test_refuses_what_is_no_filter_of_the_api(self, staff: Client, query: str) -> None:
        response = staff.get(f"{NEW}?{query}")
        assert fields(response)["filter"] == ""
        with pytest.raises(InvalidInput):
            filter_of(QueryDict(query))

    def test_keeps_what_a_worker_holds_apart_from_what_it_has_run(self) -> None:
        worker = str(unknown_id())
        assert filter_of(QueryDict(f"worker={worker}&p=2")) == {
            "workerId": worker,
            "status": ["RUNNING", "SCHEDULED"],
        }
        assert filter_of(QueryDict("q=order-17&schedule=&type=DUMMY")) == {"correlationId": "order-17", "type": "DUMMY"}
        assert filter_of(QueryDict("after=2026-01-01T00:00&before=2026-01-02T02:00%2B02:00")) == {
            "createdAfter": "2026-01-01T00:00:00.000000Z",
            "createdBefore": "2026-01-02T00:00:00.000000Z",
        }


class TestNew:
    def test_looks_then_asks_for_the_number_then_begins(self, staff: Client) -> None:
        for _ in range(3):
            make_task(queue="mail")
        form = fields(staff.get(f"{NEW}?queue=mail"))
        looked = staff.post(NEW, {**form, "action": "cancel", "reason": "spam", "rate": "50"})
        assert looked.status_code == 200
        assert "3 tasks match" in looked.content.decode()
        assert not BulkOperation.objects.exists()
        form = fields(looked)
        for wrong in ("", "4", "all"):
            assert staff.post(NEW, {**form, "confirm": wrong}).status_code == 422
        assert not BulkOperation.objects.exists()
        assert staff.post(NEW, {**form, "confirm": "3"}).status_code == 302
        row = BulkOperation.objects.get()
        assert (row.action, row.filter, row.reason, row.rate_per_second) == ("cancel", {"queue": "mail"}, "spam", 50)
        assert row.asked_by == "user:maria"

    def test_looks_again_when_the_filter_was_changed(self, staff: Client) -> None:
        make_task(queue="mail")
        form = fields(staff.post(NEW, {"action": "cancel", "filter": '{"queue": "mail"}'}))
        changed = {**form, "filter": '{"queue": "other"}', "confirm": "1"}
        refused = staff.post(NEW, changed)
        assert refused.status_code == 422
        assert fields(refused)["token"] == ""
        assert not BulkOperation.objects.exists()

    @pytest.mark.parametrize("wanted", ["", "{}", "[]", "nonsense", '{"colour": "red"}', '{"status": []}'])
    def test_never_takes_what_it_cannot_read_for_everything(self, staff: Client, wanted: str) -> None:
        make_task()
        assert staff.post(NEW, {"action": "cancel", "filter": wanted}).status_code == 422

    def test_lets_nobody_run_commands_who_may_not(self, client: Client) -> None:
        make_task(type="SHELL", payload={"command": "true"}, status="FAILED")
        sign_in(client, "add_bulkoperation", "view_bulkoperation", "change_task", "view_task")
        form = {"action": "retry", "filter": '{"status": "FAILED"}'}
        response = client.post(NEW, form)
        assert response.status_code == 422
        assert "superuser" in response.content.decode()
        assert client.post(NEW, {**form, "action": "cancel"}).status_code == 200


class TestPage:
    def test_shows_how_far_it_is_and_stops_and_resumes(self, staff: Client) -> None:
        row = make_operation(touched=1_200, skipped=3, skips={"NOT_ENDED": 3}, count=4_000)
        page = staff.get(f"{OPERATIONS}{row.pk}/change/").content.decode()
        assert "1203 / 4000" in page and "Not ended" in page
        assert "1,203 of 4,000" in staff.get(OPERATIONS).content.decode()
        for word, state in (("stop", "STOPPED"), ("stop", "STOPPED"), ("resume", "RUNNING"), ("resume", "RUNNING")):
            staff.post(f"{OPERATIONS}{row.pk}/{word}/", {"reason": "because"})
            row.refresh_from_db()
            assert row.state == state
        assert row.version == 3

    def test_offers_viewers_no_button(self, client: Client) -> None:
        row = make_operation()
        sign_in(client, "view_bulkoperation")
        assert "/stop/" not in client.get(f"{OPERATIONS}{row.pk}/change/").content.decode()
        assert client.post(f"{OPERATIONS}{row.pk}/stop/").status_code == 403
