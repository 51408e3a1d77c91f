"""What staff who are no superusers may do in the admin, one row at a time, many at once, in forms."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from flow_app.models import Queue
from schedules_app.models import BlackoutCalendar, Schedule
from tasks_app.admin.tasks import TaskAdmin
from tasks_app.models import Task
from tasks_app.states import TaskStatus
from tests.factories import make_task
from tests.support.people import said, sign_in
from tests.support.schedules import make_calendar, make_schedule, whole_now

pytestmark = pytest.mark.django_db

TASKS = "/admin/tasks_app/task/"
QUEUES = "/admin/flow_app/queue/"
SCHEDULES = "/admin/schedules_app/schedule/"
CALENDARS = "/admin/schedules_app/blackoutcalendar/"
WORKERS = "/admin/workers_app/worker/"
SHELL = {"type": "SHELL", "payload": {"command": "echo hunter2"}}
EVERYTHING = [f"{verb}_{model}" for verb in ("view", "add", "change", "delete")
              for model in ("task", "queue", "schedule", "blackoutcalendar", "worker")]  # fmt: skip


@pytest.fixture
def operator(client: Client) -> Client:
    return sign_in(client, *EVERYTHING)


def act(client: Client, url: str, action: str, *rows: Any, **more: str) -> str:
    data = {"action": action, "index": "0", "_selected_action": [str(row.pk) for row in rows], **more}
    return said(client.post(url, data))


def paused(**columns: Any) -> Schedule:
    return make_schedule(due=0, paused_at=whole_now(), **columns)


class TestCommands:
    """Only superusers have SHELL tasks run; everybody who may stop others' tasks may stop these."""

    @pytest.mark.parametrize("word", ["resume", "enable", "trigger", "backfill", "clone"])
    def test_are_not_run_by_a_schedules_buttons(self, operator: Client, word: str) -> None:
        schedule = paused(task=SHELL, enabled=False, next_slot=None, next_fire_at=None)
        page = operator.get(f"{SCHEDULES}{schedule.pk}/change/")
        assert page.context["offered"] == {"delete"}
        assert "needs a superuser" in said(operator.post(f"{SCHEDULES}{schedule.pk}/{word}/", {"name": "copy"}))
        assert Schedule.objects.get() == schedule
        assert (Schedule.objects.get().version, Task.objects.count()) == (schedule.version, 0)

    def test_are_not_run_by_resuming_many(self, operator: Client) -> None:
        shell, dummy = paused(task=SHELL), paused()
        assert "needs a superuser" in act(operator, SCHEDULES, "resume_selected", shell, dummy)
        assert all(schedule.paused for schedule in Schedule.objects.all())
        assert "resumed" in act(operator, SCHEDULES, "resume_selected", dummy)

    def test_may_be_held_back(self, operator: Client) -> None:
        one, other = make_schedule(due=0, task=SHELL), make_schedule(due=0, task=SHELL)
        assert "paused" in said(operator.post(f"{SCHEDULES}{one.pk}/pause/"))
        assert "1 schedule paused" in act(operator, SCHEDULES, "pause_selected", one, other)
        assert "deleted" in said(operator.post(f"{SCHEDULES}{one.pk}/delete/", {"version": "2"}))
        task = make_task(type="SHELL", payload=SHELL["payload"])
        assert "cancelled" in act(operator, TASKS, "cancel_selected", task)

    def test_are_not_written_into_forms(self, operator: Client) -> None:
        schedule = make_schedule(due=0, task=SHELL)
        assert "needs a superuser" in said(operator.get(f"{SCHEDULES}{schedule.pk}/edit/"))
        assert "needs a superuser" in said(operator.post(f"{SCHEDULES}{schedule.pk}/preview/", {"cron": "* * * * *"}))
        for url in (f"{SCHEDULES}add/", f"{TASKS}add/"):
            form = operator.get(url).context["form"]
            assert {name for name, _ in form.fields["type"].choices} == {"DUMMY", "HTTP"}
            assert (
                "type" in operator.post(url, {"type": "SHELL", "payload": '{"command": "id"}'}).context["form"].errors
            )

    def test_are_not_let_out_of_a_blackout(self, operator: Client) -> None:
        make_calendar("freeze", {"dates": "01-01/12-31"})
        schedule = make_schedule(due=0, task=SHELL, calendars=["freeze"])
        form = {"timezone": "UTC", "on_blackout": "skip", "ranges": '[{"dates": "12-24"}]', "version": "1"}
        for answer in (operator.get(f"{CALENDARS}freeze/edit/"), operator.post(f"{CALENDARS}freeze/edit/", form)):
            assert "needs a superuser" in said(answer)
        assert BlackoutCalendar.objects.get().version == 1
        assert "edit" not in operator.get(f"{CALENDARS}freeze/change/").context["may"]
        Schedule.objects.filter(pk=schedule.pk).update(task={"type": "DUMMY", "payload": {}})
        operator.post(f"{CALENDARS}freeze/edit/", form)
        assert BlackoutCalendar.objects.get().version == 2


class TestLooking:
    """Whoever may change something and not look at it sees it nowhere in the admin, and does nothing to it there."""

    def test_is_needed_to_act(self, client: Client) -> None:
        sign_in(client, "add_task", "change_task", "change_schedule", "change_queue", "change_worker")
        task = make_task(status=TaskStatus.FAILED, payload={"url": "hunter2"}, type="HTTP")
        schedule = make_schedule(due=0, task={"type": "HTTP", "payload": {"url": "http://hunter2"}})
        Queue.objects.create(name="q")
        bulk = {"action": "retry_selected", "index": "0", "_selected_action": str(task.pk)}
        answers = [
            client.get(TASKS),
            client.post(TASKS, bulk),
            client.post(f"{TASKS}{task.pk}/retry/"),
            client.post(f"{TASKS}{task.pk}/clone/"),
            client.get(f"{SCHEDULES}{schedule.pk}/edit/"),
            client.post(f"{SCHEDULES}{schedule.pk}/backfill/", {}),  # a refused form comes back with the page
            client.post(f"{QUEUES}q/pause/", {"until": "never"}),
        ]
        assert [answer.status_code for answer in answers] == [403] * len(answers)
        assert not any(b"hunter2" in answer.content for answer in answers)
        assert (Task.objects.get().version, Schedule.objects.get().version) == (task.version, schedule.version)

    def test_at_one_thing_shows_no_other(self, client: Client) -> None:
        from uuid import uuid4

        from workers_app.models import Worker

        worker = Worker.objects.create(worker_id=uuid4(), pid=1, slots=1, host="h", name="w")
        task = make_task(status=TaskStatus.RUNNING, worker_id=worker.pk)
        make_calendar("nights", {"dates": "12-24"})
        make_schedule(due=0, name="secret-project", calendars=["nights"])
        sign_in(client, "view_worker", "view_blackoutcalendar")
        assert str(task.pk) not in client.get(f"{WORKERS}{worker.pk}/change/").content.decode()
        assert "secret-project" not in client.get(f"{CALENDARS}nights/change/").content.decode()


class TestSite:
    def test_shows_nothing_of_ours_to_staff_without_permissions(self, client: Client) -> None:
        """Pages of the site as a whole: overview, search, lists of pages, and what fills in a field."""
        make_task(queue="hunter2", correlation_id="hunter2", status=TaskStatus.FAILED)
        make_schedule(name="hunter2")
        Queue.objects.create(name="hunter2", paused_at=whole_now())
        sign_in(client)
        field = {"app_label": "tasks_app", "model_name": "taskexecution", "field_name": "task", "term": ""}
        for url in ("/admin/", "/admin/tasks_app/", "/admin/search/?s=hunter2", "/admin/jsi18n/"):
            assert b"hunter2" not in client.get(url).content.replace(b"s=hunter2", b"").replace(b'"hunter2"', b""), url
        assert client.get("/admin/autocomplete/", field).status_code == 403

    @pytest.mark.parametrize(
        ("permission", "told"),
        [
            ("view_queue", {"Paused: secret-queue."}),
            ("view_worker", {"No worker is", "No scheduler"}),
            ("view_task", {"Paused: secret-queue."}),
            ("view_taskexecution", set()),
        ],
    )
    def test_warns_of_what_one_may_look_at(self, client: Client, permission: str, told: set[str]) -> None:
        cache.clear()
        Queue.objects.create(name="secret-queue", paused_at=whole_now())
        sign_in(client, permission)
        warnings = {text for _, text in client.get("/admin/").context["warnings"]}
        assert len(warnings) == len(told)
        assert all(any(text.startswith(words) for text in warnings) for words in told)


class TestQueues:
    def test_are_not_paused_by_who_may_only_list_one(self, client: Client) -> None:
        Queue.objects.create(name="mail")
        sign_in(client, "view_queue", "add_queue")
        assert "paused" not in client.get(f"{QUEUES}add/").context["form"].fields
        client.post(f"{QUEUES}add/", {"name": "mail", "paused": "on"})
        assert Queue.objects.get().paused_at is None


class TestManyAtOnce:
    @pytest.mark.parametrize(
        ("url", "action"),
        [(TASKS, "cancel_selected"), (SCHEDULES, "pause_selected"), (QUEUES, "pause_selected")],
    )
    def test_is_a_page_at_most(self, client: Client, url: str, action: str) -> None:
        client.force_login(User.objects.create_superuser("root"))
        rows = {TASKS: make_task(), SCHEDULES: make_schedule(), QUEUES: Queue.objects.create(name="q")}
        for across in ("1", "on", "true", "2", "01", "false"):
            assert "one page at a time" in act(client, url, action, rows[url], select_across=across)
        assert Task.objects.get().status == TaskStatus.PENDING
        assert not Schedule.objects.get().paused
        assert Queue.objects.get().paused_at is None

    def test_is_done_to_the_rows_that_were_judged(self, operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        """A task that comes to match the filters in between is not among them."""
        task, judge = make_task(type="SHELL", status=TaskStatus.FAILED, queue="other"), TaskAdmin.refuses

        def judged_and_moved(*args: Any) -> bool:
            refused = judge(*args)
            Task.objects.update(queue="mine")
            return refused

        monkeypatch.setattr(TaskAdmin, "refuses", judged_and_moved)
        act(operator, f"{TASKS}?queue=mine", "retry_selected", task)
        assert Task.objects.get().status == TaskStatus.FAILED
        assert Task.objects.get().queue == "mine"
