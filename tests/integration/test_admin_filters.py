"""A bad filter is an error on the page: it is never dropped, and nothing is done under it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from access_app.staff.base import StaffAdmin
from access_app.staff.filters import BarFilter, ChoiceFilter
from schedules_app.models import Schedule
from tasks_app.models import Task
from tasks_app.states import TaskStatus
from tests.factories import make_task
from tests.support.pages import make_worker
from tests.support.schedules import make_schedule

pytestmark = pytest.mark.django_db
admin.autodiscover()  # tests are made of its pages before any test asks for one

TASKS = "/admin/tasks_app/task/"


def lists() -> list[StaffAdmin]:
    return [each for each in admin.site._registry.values() if isinstance(each, StaffAdmin)]


def address_of(each: Any) -> str:
    return reverse(f"admin:{each.opts.app_label}_{each.opts.model_name}_changelist")


def takes_any_text(spec: type[BarFilter]) -> bool:
    return spec.kind == "text" and "id" not in spec.placeholder.split()


FILTERS = [
    pytest.param(address_of, each, spec, id=f"{each.opts.model_name}-{spec.parameter_name}")
    for each in lists()
    for spec in each.list_filter
]


class TestABadFilter:
    @pytest.mark.parametrize(("address", "each", "spec"), FILTERS)
    def test_is_named_on_the_page_which_shows_no_row(self, staff: Client, address: Any, each: Any, spec: Any) -> None:
        if takes_any_text(spec):
            return
        make_task()
        make_schedule()
        for value in ("vm <b>", "0", "2026-13-40T00:00", "é" * 90, "None"):
            response = staff.get(address(each), {spec.parameter_name: value})
            html = response.content.decode()
            assert response.status_code == 400, value
            assert response.context["cl"].result_list == []
            [(title, problem)] = response.context["cl"].problems
            assert title == spec.title
            assert 'role="alert"' in html
            assert value in problem
            assert "vm <b>" not in html

    @pytest.mark.parametrize(("address", "each", "spec"), FILTERS)
    def test_is_one_given_twice(self, staff: Client, address: Any, each: Any, spec: Any) -> None:
        choices = spec.lookups(spec, None, each) if issubclass(spec, ChoiceFilter) else [("x", "x")]
        values = [str(value) for value, _ in choices]
        response = staff.get(f"{address(each)}?{spec.parameter_name}={values[0]}&{spec.parameter_name}={values[-1]}")
        assert response.status_code == 400
        assert "twice" in response.content.decode()

    @pytest.mark.usefixtures("unrendered")
    @pytest.mark.parametrize("each", lists(), ids=lambda each: each.opts.model_name)
    def test_is_one_that_the_list_does_not_have(self, staff: Client, each: Any) -> None:
        make_task()
        make_schedule()
        make_worker()
        for name in ("nonsense", "pk", "id", "queue__contains", "payload__x", "worker_id", "status__in"):
            response = staff.get(address_of(each), {name: "1"})
            assert response.status_code == 400, name
            assert response.context_data["cl"].result_list == []
            assert [(name, "There is no such filter here.")] == response.context_data["cl"].problems

    def test_keeps_the_others_and_stands_in_its_field(self, staff: Client) -> None:
        make_task(status=TaskStatus.FAILED, queue="q")
        html = staff.get(f"{TASKS}?status=FAILED&queue=q&worker=vm&type=NO").content.decode()
        assert 'name="queue" value="q"' in html
        assert 'name="worker" value="vm"' in html
        assert 'name="status" value="FAILED"' in html
        assert '<option value="NO" selected>NO</option>' in html
        assert html.count('aria-invalid="true"') == 2

    @pytest.mark.parametrize("query", ["worker=vm", "nonsense=1", "status=NO", "after=x", "queue=a&queue=b"])
    def test_lets_no_action_be_done(self, staff: Client, query: str) -> None:
        task = make_task()
        form = {"action": "cancel_selected", "_selected_action": [str(task.pk)], "index": "0"}
        response = staff.post(f"{TASKS}?{query}", form, follow=True)
        assert response.status_code == 400
        assert "Nothing was done" in response.content.decode()
        assert Task.objects.get().status == TaskStatus.PENDING

    def test_is_an_error_on_lists_of_django_too(self, staff: Client) -> None:
        for url in ("/admin/auth/user/?is_staff__exact=x", "/admin/auth/user/?id=x", "/admin/auth/group/?nonsense=1"):
            response = staff.get(url)
            assert response.status_code == 400, url
            assert "Show everything" in response.content.decode()
            form = {"action": "delete_selected", "_selected_action": ["1"], "index": "0"}
            assert staff.post(url, form).status_code == 400
        assert User.objects.count() == 1


@pytest.mark.usefixtures("unrendered")
class TestASelectedRow:
    @pytest.mark.parametrize("each", admin.site._registry.values(), ids=lambda each: each.opts.model_name)
    @pytest.mark.parametrize("sent", ["x", "\0", "9" * 30, "é"])
    def test_that_there_cannot_be_is_refused(self, staff: Client, each: Any, sent: str) -> None:
        for action in ("delete_selected", *each.actions):
            form = {"action": action if isinstance(action, str) else action.__name__, "_selected_action": [sent]}
            assert staff.post(address_of(each), {**form, "index": "0", "post": "yes"}).status_code in (200, 302, 400)
        assert User.objects.exists()


class TestAnEmptyFilter:
    def test_is_none(self, staff: Client) -> None:
        make_task()
        response = staff.get(f"{TASKS}?status=&type=&queue=+&worker=&after=&q=&p=")
        assert response.status_code == 200
        assert len(response.context["cl"].result_list) == 1


class TestThePartsOfALedger:
    @pytest.mark.parametrize(
        "query", ["state=NO", "day=x", "day=2026-02-30", "end=1", "before=2026-01-01T00:00:00", "day="]
    )
    def test_are_shown_as_asked_or_not_at_all(self, staff: Client, query: str) -> None:
        schedule = make_schedule(due=0)
        response = staff.get(f"/admin/schedules_app/schedule/{schedule.pk}/change/?{query}")
        said = "cannot be shown" in response.content.decode()
        assert said == (query != "day=")
        assert Schedule.objects.count() == 1
