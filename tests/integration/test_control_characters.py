"""No text that people read in one line takes a character that ends the line, drives a terminal or turns its direction.

The fields of the API are walked by their tables, so that a new one is walked as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.test import Client

from access_app.models import ApiKey, AuditEvent
from flow_app.models import Queue
from scheduler_project.accounts.two_tabs import state_of
from schedules_app.api import inputs as schedule_inputs
from schedules_app.models import BlackoutCalendar, Schedule
from tasks_app.api import inputs
from tasks_app.models import Task
from tests.factories import make_task
from tests.integration.schedules.test_admin_actions import NEW
from tests.support.api import Api, fields_of
from tests.support.people import said
from tests.support.schedules import make_calendar, make_schedule

pytestmark = pytest.mark.django_db

STEERING = ["\x1b[31m", "\r\n", "\x9b", "\x7f", "\u202e", "\u2066", "\u2028", "\u200f"]
TASK = {"type": "DUMMY"}
SCHEDULE: dict[str, Any] = {"name": "s", "cron": "0 0 * * *", "task": TASK}
CALENDAR = {"name": "c", "ranges": [{"dates": "12-24"}]}


def text_fields(fields: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The paths whose reader takes a text."""
    for name, field in fields.items():
        if not isinstance(field, tuple):
            yield from text_fields(field, f"{prefix}{name}.")
            continue
        try:
            is_text = field[1]("text") == "text" and name != "payload"
        except ValueError:
            is_text = False
        if is_text:
            yield prefix + name


def with_field(body: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    name, _, rest = path.partition(".")
    return {**body, name: with_field(body.get(name, {}), rest, value) if rest else value}


OF_TASKS = list(text_fields(inputs.CREATE))
OF_SCHEDULES = [*text_fields(schedule_inputs._FIELDS), *(f"task.{name}" for name in OF_TASKS)]
OF_CALENDARS = list(text_fields(schedule_inputs._CALENDAR))


class TestApi:
    def test_walks_the_fields_it_should(self) -> None:
        assert {"queue", "correlationId", "concurrencyKey"} <= set(OF_TASKS)
        assert {"name", "description", "cron", "rrule", "timezone", "dst.gap", "task.queue"} <= set(OF_SCHEDULES)
        assert {"name", "description", "timezone"} <= set(OF_CALENDARS)

    @pytest.mark.parametrize("path", OF_TASKS)
    def test_refuses_them_in_tasks(self, api: Api, path: str) -> None:
        for steering in STEERING:
            assert path in fields_of(api.post("/tasks", with_field(TASK, path, f"a{steering}b")))

    @pytest.mark.parametrize("path", OF_SCHEDULES)
    def test_refuses_them_in_schedules(self, api: Api, path: str) -> None:
        schedule = make_schedule()
        for steering in STEERING:
            text = f"FREQ=DAILY;COUNT=2{steering}" if path == "rrule" else f"a{steering}b"
            valid = SCHEDULE | {"cron": None} if path == "rrule" else SCHEDULE  # nothing else is wrong with it
            assert path in fields_of(api.post("/schedules", with_field(valid, path, text)))
            assert path in fields_of(api.patch(f"/schedules/{schedule.pk}", with_field({}, path, text)))
        assert Schedule.objects.count() == 1

    @pytest.mark.parametrize("path", OF_CALENDARS)
    def test_refuses_them_in_calendars(self, api: Api, path: str) -> None:
        make_calendar("old", {"dates": "12-24"})
        for steering in STEERING:
            text = f"a{steering}b"
            assert path in fields_of(api.post("/calendars", with_field(CALENDAR, path, text)))
            assert path in fields_of(api.patch("/calendars/old", with_field({}, path, text)))
        assert BlackoutCalendar.objects.count() == 1

    def test_refuses_them_in_reasons_and_names(self, api: Api) -> None:
        schedule = make_schedule()
        for steering in STEERING:
            text = f"a{steering}b"
            for path in ("/queues/q/pause", f"/schedules/{schedule.pk}/pause", f"/schedules/{schedule.pk}/resume"):
                assert fields_of(api.post(path, {"reason": text})) == {"reason"}
            assert fields_of(api.post(f"/schedules/{schedule.pk}/clone", {"name": text})) == {"name"}
            assert "calendars" in fields_of(api.post("/schedules", SCHEDULE | {"calendars": [text]}))
        assert not AuditEvent.objects.exclude(action="api_key.created").exists()

    def test_refuses_them_in_headers(self, api: Api) -> None:
        for steering in ("\x1b[31m", "\x7f", "\x9b"):
            assert fields_of(api.post("/tasks", TASK, Idempotency_Key=f"a{steering}b")) == {"Idempotency-Key"}
            echoed = api.post("/tasks", TASK, X_Correlation_ID=f"a{steering}b", User_Agent=f"a{steering}b")
            assert steering not in echoed["X-Correlation-ID"]
            assert steering not in echoed.json()["correlationId"]


@pytest.mark.usefixtures("unrendered")
class TestAdmin:
    @pytest.mark.parametrize(
        "button",
        ["tasks_app/task/{task}/cancel", "tasks_app/task/{task}/retry", "flow_app/queue/q/pause"]
        + [f"schedules_app/schedule/{{schedule}}/{word}" for word in ("pause", "resume", "delete")],
    )
    def test_refuses_them_in_reasons(self, staff: Client, button: str) -> None:
        task, schedule = make_task(), make_schedule()
        Queue.objects.create(name="q")
        for steering in STEERING:
            path = f"/admin/{button.format(task=task.pk, schedule=schedule.pk)}/"
            response = staff.post(path, {"reason": f"a{steering}b", "version": "1"})
            assert "Nothing was done: the reason must not contain line breaks" in said(response)
        assert Queue.objects.get().paused_at is None
        assert Task.objects.get(pk=task.pk).status == "PENDING"
        assert not AuditEvent.objects.exists()

    @pytest.mark.parametrize("field", ["name", "description", "cron", "timezone", "queue", "concurrency_key"])
    def test_refuses_them_in_the_form_of_a_schedule(self, staff: Client, field: str) -> None:
        for steering in STEERING:
            if field == "description" and steering == "\r\n":
                continue  # how a browser sends the end of a line
            response = staff.post("/admin/schedules_app/schedule/add/", NEW | {field: f"a{steering}b"})
            assert response.status_code == 422
            assert field in response.context_data["form"].errors
        assert not Schedule.objects.exists()

    def test_refuses_them_in_names_and_reasons_of_other_forms(self, staff: Client) -> None:
        for steering in STEERING:
            text = f"a{steering}b"
            for form, fields in (
                ("flow_app/queue/add", {"name": text, "paused": "on"}),
                ("flow_app/queue/add", {"name": "q", "paused": "on", "reason": text}),
                ("access_app/apikey/add", {"name": text, "scopes": ["tasks:read"], "expires_in_days": "1"}),
                ("schedules_app/blackoutcalendar/add", {"name": text, "timezone": "UTC"}),
            ):
                assert staff.post(f"/admin/{form}/", fields).status_code == 422, (form, fields)
        assert not Queue.objects.exists()
        assert not ApiKey.objects.exists()

    def test_refuses_them_in_names_of_people_and_groups(self, staff: Client) -> None:
        maria, before = User.objects.get(), set(Group.objects.all())
        for steering in STEERING:
            text = f"a{steering}b"
            staff.post("/admin/auth/group/add/", {"name": text})
            twice = dict.fromkeys(("password1", "password2"), "k3-dust-hill")
            staff.post("/admin/auth/user/add/", {"username": text, "usable_password": "true", **twice})
            for name in ("username", "first_name", "last_name"):
                person = {"username": "maria", "is_active": "on", "is_superuser": "on", "is_staff": "on", name: text}
                response = staff.post(f"/admin/auth/user/{maria.pk}/change/", {**person, "seen": state_of(maria)})
                assert set(response.context_data["adminform"].form.errors) == {name}
        assert set(Group.objects.all()) == before
        assert [user.get_username() + user.get_full_name() for user in User.objects.all()] == ["maria"]
        assert staff.post("/admin/auth/group/add/", {"name": "Équipe de nuit"}).status_code == 302
        assert [group.name for group in set(Group.objects.all()) - before] == ["Équipe de nuit"]


class TestCommands:
    @pytest.mark.parametrize("steering", STEERING)
    def test_refuse_them_in_names(self, steering: str) -> None:
        text = f"a{steering}b"
        for arguments in (["--name", text], ["--labels", f"zone={text}"], ["--labels", f"{text}=a"]):
            with pytest.raises(CommandError, match="must not contain line breaks"):
                call_command("runworker", *arguments)
        with pytest.raises(CommandError):
            call_command("createapikey", text, scopes="tasks:read")
        assert not ApiKey.objects.exists()
