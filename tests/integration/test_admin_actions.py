"""What staff may do to tasks, queues and workers: only what state and permission allow, audited, and reported."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client, RequestFactory

from access_app.models import AuditEvent
from flow_app.models import Queue
from tasks_app.models import Task
from tasks_app.states import FINAL, Gate, TaskStatus, WorkerState
from tests.factories import make_task
from tests.support.people import said, sign_in
from workers_app.models import Worker

pytestmark = pytest.mark.django_db

TASKS = "/admin/tasks_app/task/"
QUEUES = "/admin/flow_app/queue/"
WORKERS = "/admin/workers_app/worker/"


def act(client: Client, action: str, *tasks: Task, **more: str) -> str:
    data = {"action": action, "index": "0", "_selected_action": [str(task.pk) for task in tasks], **more}
    return said(client.post(TASKS, data))


def audited(task_id: UUID) -> list[tuple[str, str, str]]:
    return list(AuditEvent.objects.filter(task_id=task_id).order_by("id").values_list("actor", "action", "reason"))


class TestCancel:
    def test_ends_a_waiting_task_and_writes_who_and_why(self, staff: Client) -> None:
        task = make_task()
        response = staff.post(f"{TASKS}{task.pk}/cancel/", {"reason": "order withdrawn"})
        assert response["Location"] == f"{TASKS}{task.pk}/change/"
        assert "1 task cancelled" in said(response)
        assert Task.objects.get(pk=task.pk).status == TaskStatus.CANCELLED
        assert audited(task.pk) == [("user:maria", "task.cancelled", "order withdrawn")]

    def test_asks_a_running_task_to_stop(self, staff: Client) -> None:
        task = make_task(status=TaskStatus.RUNNING)
        assert "asked to stop" in said(staff.post(f"{TASKS}{task.pk}/cancel/"))
        assert Task.objects.get(pk=task.pk).cancel_requested_at is not None
        assert audited(task.pk) == [("user:maria", "task.cancel_requested", "")]

    def test_tells_what_became_of_each_of_many(self, staff: Client) -> None:
        waiting = [make_task(), make_task(status=TaskStatus.SCHEDULED), make_task()]
        running, ended = make_task(status=TaskStatus.RUNNING), [make_task(status=status) for status in FINAL]
        text = act(staff, "cancel_selected", *waiting, running, *ended)
        assert "3 tasks cancelled" in text
        assert "1 task running when asked to stop" in text
        assert "3 tasks had already ended" in text
        assert all(Task.objects.get(pk=task.pk).status == TaskStatus.CANCELLED for task in waiting)
        assert audited(ended[0].pk) == []

    def test_refuses_more_than_a_page(self, staff: Client) -> None:
        task = make_task()
        assert "Nothing was done" in act(staff, "cancel_selected", task, select_across="1")
        assert Task.objects.get(pk=task.pk).status == TaskStatus.PENDING


class TestRetry:
    def test_makes_an_ended_task_due_again(self, staff: Client) -> None:
        task = make_task(status=TaskStatus.FAILED, retry_count=3)
        assert "1 task due again" in said(staff.post(f"{TASKS}{task.pk}/retry/", {"version": task.version}))
        task.refresh_from_db()
        assert (task.status, task.retry_count) == (TaskStatus.PENDING, 0)
        assert audited(task.pk) == [("user:maria", "task.retried", "")]

    def test_leaves_a_task_alone_that_changed_since_it_was_looked_at(self, staff: Client) -> None:
        task = make_task(status=TaskStatus.FAILED, version=5)
        assert "changed since you looked" in said(staff.post(f"{TASKS}{task.pk}/retry/", {"version": "4"}))
        assert Task.objects.get(pk=task.pk).status == TaskStatus.FAILED

    def test_tells_what_became_of_each_of_many(self, staff: Client) -> None:
        text = act(staff, "retry_selected", make_task(status=TaskStatus.FAILED), make_task())
        assert "1 task due again" in text
        assert "1 task not ended yet" in text


class TestClone:
    def test_leads_to_the_new_task(self, staff: Client) -> None:
        task = make_task(status=TaskStatus.SUCCESS, payload={"sleepDurationMs": 7})
        response = staff.post(f"{TASKS}{task.pk}/clone/")
        clone = Task.objects.exclude(pk=task.pk).get()
        assert response["Location"] == f"{TASKS}{clone.pk}/change/"
        assert (clone.created_by, clone.payload, clone.status) == ("user:maria", {"sleepDurationMs": 7}, "PENDING")

    def test_clones_many(self, staff: Client) -> None:
        assert "2 tasks cloned" in act(staff, "clone_selected", make_task(), make_task(status=TaskStatus.FAILED))
        assert Task.objects.count() == 4


class TestButtons:
    @pytest.mark.parametrize("status", list(TaskStatus))
    def test_show_only_what_the_state_allows(self, staff: Client, status: TaskStatus) -> None:
        task = make_task(status=status)
        offered = staff.get(f"{TASKS}{task.pk}/change/").context["offered"]
        assert offered == ({"retry", "clone"} if status in FINAL else {"cancel", "clone"})

    def test_do_not_ask_a_stopping_task_again(self, staff: Client) -> None:
        task = make_task(status=TaskStatus.RUNNING, cancel_requested_at=datetime.now(UTC))
        assert staff.get(f"{TASKS}{task.pk}/change/").context["offered"] == {"clone"}

    def test_show_only_what_the_person_may_do(self, client: Client) -> None:
        task = make_task()
        sign_in(client, "view_task", "change_task")
        assert client.get(f"{TASKS}{task.pk}/change/").context["offered"] == {"cancel"}


class TestPermissions:
    @pytest.mark.parametrize("word", ["cancel", "retry", "clone"])
    def test_view_alone_changes_nothing(self, client: Client, word: str) -> None:
        task = make_task(status=TaskStatus.PENDING if word == "cancel" else TaskStatus.FAILED)
        sign_in(client, "view_task")
        assert client.post(f"{TASKS}{task.pk}/{word}/").status_code == 403
        act(client, f"{word}_selected", task)
        assert Task.objects.get() == task
        assert Task.objects.get().version == task.version
        assert not AuditEvent.objects.exists()

    def test_nothing_happens_on_get(self, staff: Client) -> None:
        task = make_task()
        for word in ("cancel", "retry", "clone"):
            assert staff.get(f"{TASKS}{task.pk}/{word}/")["Location"] == "../change/"
            for method in (staff.head, staff.put, staff.delete):
                assert method(f"{TASKS}{task.pk}/{word}/").status_code == 405
        assert staff.post(f"{TASKS}{task.pk}/change/", {"status": "SUCCESS"}).status_code == 405
        assert staff.post(f"{TASKS}{task.pk}/delete/", {"post": "yes"}).status_code == 403
        assert Task.objects.get().version == task.version

    def test_nothing_happens_without_a_csrf_token(self) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(User.objects.create_superuser("maria"))
        task = make_task()
        for url in (f"{TASKS}{task.pk}/cancel/", TASKS, f"{TASKS}add/", "/admin/access_app/apikey/add/"):
            assert client.post(url, {"action": "cancel_selected"}).status_code == 403, url
        assert Task.objects.get().status == TaskStatus.PENDING

    def test_shell_tasks_are_run_by_superusers_only(self, client: Client) -> None:
        shell = make_task(type="SHELL", status=TaskStatus.FAILED, payload={"command": "true"})
        dummy = make_task(status=TaskStatus.FAILED)
        sign_in(client, "view_task", "add_task", "change_task")
        assert client.get(f"{TASKS}{shell.pk}/change/").context["offered"] == set()
        for word in ("retry", "clone"):
            assert "superuser" in said(client.post(f"{TASKS}{shell.pk}/{word}/"))
        assert "superuser" in act(client, "retry_selected", shell, dummy)
        data = new_task(type="SHELL", payload='{"command": "true"}')
        assert client.post(f"{TASKS}add/", data).status_code == 422
        assert set(Task.objects.values_list("status", flat=True)) == {TaskStatus.FAILED}


def new_task(**fields: str) -> dict[str, str]:
    defaults = {
        "type": "DUMMY",
        "payload": "{}",
        "queue": "default",
        "priority": "0",
        "timeout_ms": "1000",
        "slots": "1",
    }
    return {**defaults, "on_worker_lost": "retry", **fields}


class TestNewTask:
    def test_creates_what_was_asked_for(self, staff: Client) -> None:
        data = new_task(payload='{"sleepDurationMs": 5}', priority="7", max_retries="0", correlation_id="c-1")
        response = staff.post(f"{TASKS}add/", data | {"schedule_at": "2999-01-01T10:00", "concurrency_key": "k"})
        task = Task.objects.get()
        assert response["Location"] == f"{TASKS}{task.pk}/change/"
        assert (task.payload, task.priority, task.max_retries) == ({"sleepDurationMs": 5}, 7, 0)
        assert (task.created_by, task.correlation_id, task.concurrency_key) == ("user:maria", "c-1", "k")
        assert task.schedule_at == datetime(2999, 1, 1, 10, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("fields", "field", "text"),
        [
            ({"payload": "{"}, "payload", "not JSON"),
            ({"payload": "[" * 5000}, "payload", "not JSON"),
            ({"payload": "[1]"}, "payload", "must be an object"),
            ({"payload": '{"sleepDurationMs": -1}'}, "payload", "sleepDurationMs: must be"),
            ({"payload": '{"x": "\\u0000"}'}, "payload", "NUL"),
            ({"queue": "no spaces"}, "queue", "must be 1 to 100 characters"),
            ({"queue": "a\0b"}, "queue", "Null characters"),
            ({"priority": "500"}, "priority", "from -100 to 100"),
            ({"timeout_ms": "0"}, "timeout_ms", "must be a whole number"),
            ({"timeout_ms": "9" * 30}, "timeout_ms", "must be a whole number"),
            ({"max_retries": "-1"}, "max_retries", "must be a whole number"),
            ({"correlation_id": "ü"}, "correlation_id", "must be 1 to 128"),
            ({"concurrency_key": "x" * 300}, "concurrency_key", "must be 1 to 200"),
            ({"schedule_at": "tomorrow"}, "schedule_at", "not a date"),
            ({"schedule_at": "2027-02-29T00:00"}, "schedule_at", "February 2027 has 28 days"),
            ({"schedule_at": "2999-01-02T00:00", "expires_at": "2999-01-01T00:00"}, "expires_at", "after scheduleAt"),
            ({"schedule_at": "9999-12-31T23:59-12:00"}, "schedule_at", "without a zone"),
            ({"type": "NOPE"}, "type", "valid choice"),
        ],
    )
    def test_shows_problems_on_their_fields(self, staff: Client, fields: dict[str, str], field: str, text: str) -> None:
        response = staff.post(f"{TASKS}add/", new_task(**fields))
        assert response.status_code == 422
        assert text in " ".join(response.context["form"].errors[field])
        assert not Task.objects.exists()

    def test_needs_the_permission_to_add(self, client: Client) -> None:
        sign_in(client, "view_task", "change_task")
        assert client.get(f"{TASKS}add/").status_code == 403
        assert client.post(f"{TASKS}add/", new_task()).status_code == 403
        assert not Task.objects.exists()


class TestQueues:
    def test_are_paused_and_resumed(self, staff: Client) -> None:
        assigned = make_task(status=TaskStatus.SCHEDULED, queue="mail_in")
        until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M")
        staff.post(f"{QUEUES}add/", {"name": "mail_in", "paused": "on", "reason": "why", "until": until})
        queue = Queue.objects.get()
        assert (queue.paused_by, queue.pause_reason) == ("user:maria", "why")
        assert queue.paused_until is not None
        assert Task.objects.get(pk=assigned.pk).status == TaskStatus.PENDING
        page = staff.get(f"{QUEUES}mail_5Fin/change/").content.decode()
        assert "Resume" in page
        assert "open" in said(staff.post(f"{QUEUES}mail_5Fin/resume/"))
        assert Queue.objects.get().paused_at is None
        staff.post(f"{QUEUES}mail_5Fin/pause/", {"reason": "again"})
        assert Queue.objects.get().pause_reason == "again"
        actions = list(AuditEvent.objects.order_by("id").values_list("actor", "action", "target"))
        assert [action for actor, action, _ in actions if actor == "user:maria" and action.startswith("queue.")] == [
            "queue.paused",
            "queue.resumed",
            "queue.paused",
        ]

    def test_are_resumed_at_a_rate_until_their_backlog_is_through(self, staff: Client) -> None:
        staff.post(f"{QUEUES}add/", {"name": "mail", "paused": "on"})
        page = staff.post(f"{QUEUES}mail/resume/", {"thaw_limit": "5"})
        assert (page.status_code, "is required" in page.content.decode()) == (422, True)
        assert Queue.objects.get().paused_at is not None
        staff.post(f"{QUEUES}mail/resume/", {"thaw_limit": "5", "thaw_period": "1"})
        queue = Queue.objects.get()
        assert (queue.paused_at, queue.thaw_limit, queue.thaw_period, queue.thaw_burst) == (None, 5, 1, 0)
        assert "Resumed at 5 in 1 s" in staff.get(f"{QUEUES}mail/change/").content.decode()
        staff.post(f"{QUEUES}mail/resume/", {})
        assert Queue.objects.get().thaw_limit is None

    def test_are_listed_without_a_pause(self, staff: Client) -> None:
        staff.post(f"{QUEUES}add/", {"name": "later"})
        assert Queue.objects.get().paused_at is None
        assert AuditEvent.objects.get().action == "queue.created"

    @pytest.mark.parametrize(
        "fields", [{"name": "no spaces"}, {"name": ""}, {"name": "q", "until": "2001-01-01T00:00"}]
    )
    def test_are_not_added_with_mistakes(self, staff: Client, fields: dict[str, str]) -> None:
        assert staff.post(f"{QUEUES}add/", fields).status_code == 422
        assert not Queue.objects.exists()

    def test_many_at_once(self, staff: Client) -> None:
        for name in ("a", "b"):
            Queue.objects.create(name=name)
        Queue.objects.filter(name="b").update(paused_at=datetime.now(UTC))
        data = {"action": "pause_selected", "index": "0", "_selected_action": ["a", "b"]}
        assert said(staff.post(QUEUES, data)) == "1 queue paused: a. 1 already was."
        assert said(staff.post(QUEUES, data | {"action": "resume_selected"})).endswith("2 queues resumed: a, b.")

    def test_count_what_waits_and_runs(self, staff: Client) -> None:
        Queue.objects.create(name="q")
        make_task(queue="q")
        make_task(queue="q", concurrency_key="k", gate=Gate.KEY)
        make_task(queue="q", crash_count=1)
        make_task(queue="q", status=TaskStatus.RUNNING)
        make_task(queue="q", status=TaskStatus.SUCCESS)
        [queue] = staff.get(QUEUES).context["cl"].result_list
        assert (queue.found.waiting, queue.found.running) == (3, 1)

    def test_need_the_permission_to_change(self, client: Client) -> None:
        Queue.objects.create(name="q")
        sign_in(client, "view_queue")
        assert client.post(f"{QUEUES}q/pause/").status_code == 403
        assert client.post(f"{QUEUES}add/", {"name": "x"}).status_code == 403
        assert Queue.objects.get().paused_at is None


class TestWorkers:
    def make_worker(self, **columns: Any) -> Worker:
        defaults = {"worker_id": uuid4(), "pid": 7, "slots": 4, "host": "node-1", "name": "worker-a"}
        return Worker.objects.create(**{**defaults, **columns})

    def test_are_drained(self, staff: Client) -> None:
        worker = self.make_worker()
        assert "1 worker asked to drain" in said(staff.post(f"{WORKERS}{worker.pk}/drain/"))
        assert Worker.objects.get().state == WorkerState.DRAINING
        assert AuditEvent.objects.values_list("actor", "action").get() == ("user:maria", "worker.drain_requested")

    def test_that_have_ended_are_not(self, staff: Client) -> None:
        live, dead = self.make_worker(), self.make_worker(state=WorkerState.DEAD)
        data = {"action": "drain_selected", "index": "0", "_selected_action": [str(live.pk), str(dead.pk)]}
        text = said(staff.post(WORKERS, data))
        assert "1 worker asked to drain" in text
        assert "1 had already ended" in text
        assert "Drain" not in staff.get(f"{WORKERS}{dead.pk}/change/").content.decode()

    def test_need_the_permission_to_change(self, client: Client) -> None:
        worker = self.make_worker()
        sign_in(client, "view_worker")
        assert client.post(f"{WORKERS}{worker.pk}/drain/").status_code == 403
        client.post(WORKERS, {"action": "drain_selected", "index": "0", "_selected_action": [str(worker.pk)]})
        assert Worker.objects.get().state == WorkerState.ACTIVE

    def test_past_their_lease_show_as_silent(self, staff: Client) -> None:
        worker = self.make_worker(last_heartbeat_at=datetime.now(UTC) - timedelta(hours=1))
        assert "SILENT" in staff.get(f"{WORKERS}{worker.pk}/change/").content.decode()


class TestListActions:
    """Offered as Django 6.1 asks for them, too, which knows other places than lists."""

    def test_are_offered_on_lists_and_nowhere_else(self, staff: Client, rf: RequestFactory) -> None:
        assert staff.get("/admin/").status_code == 200  # which loads them all
        request = rf.get("/admin/")
        request.user = User.objects.get()
        places = [SimpleNamespace(value=value) for value in ("CHANGE_LIST", "CHANGE_FORM")]
        offered = {}
        for model, each in admin.site._registry.items():
            on_list, on_form = (each.get_actions(request, action_location=place) for place in places)
            assert (on_list.keys(), on_form) == (each.get_actions(request).keys(), {}), each
            choices = each.get_action_choices(request, default_choices=[], action_location=places[0])
            assert [name for name, _ in choices if name] == list(on_list), each
            offered[model] = set(on_list)
        assert offered[Queue] == {"pause_selected", "resume_selected"}
        assert offered[User] == {"delete_selected"}
