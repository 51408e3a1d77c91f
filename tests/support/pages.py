"""Every address of the site, and rows for each page to show: for tests that walk all pages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from django.apps import apps
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from access_app import keys
from access_app.ids import new_task_id, new_task_ids
from access_app.models import AuditEvent
from access_app.staff.display import page_url
from flow_app.freeze_table import FreezeStatus, of_statuses
from flow_app.models import Freeze
from flow_app.queue_keys import set_key
from flow_app.queues import edit_queue, pause_queue
from flow_app.targets import Rules, put_target
from monitoring_app.models import Mark
from schedules_app.firing_rules import FireState
from schedules_app.models import ScheduleFire
from tasks_app.edges import TaskEdge, TaskJoin
from tasks_app.models import Task, TaskOutput
from tasks_app.states import ExecutionStatus, TaskStatus
from tests.factories import make_batch, make_execution, make_failure, make_operation, make_output, make_task
from tests.support.schedules import MINUTE, make_calendar, make_schedule, whole_now
from tests.support.webhooks import make_delivery, make_endpoint
from workers_app.models import Scheduler, Worker
from workflows_app.batch_rules import FollowUp
from workflows_app.models import Batch
from workflows_app.selectors import follow_ups_made


def make_worker(**columns: Any) -> Worker:
    defaults = {"worker_id": uuid4(), "pid": 7, "slots": 4, "host": "node-1", "name": "worker-a"}
    return Worker.objects.create(**{**defaults, **columns})


def make_history(text: str) -> Task:
    """A task that has been through everything, with a text in every field that comes from outside."""
    shell = {"exitCode": 1, "stdout": f"out {text}", "stderr": text, "stdoutTruncated": True}
    task = make_task(
        status=TaskStatus.FAILED,
        attempt=6,
        retry_count=2,
        crash_count=1,
        payload={
            "url": f"https://u:hunter2@x/{text}?token=hunter2&a=1",
            "headers": {"Authorization": "hunter2", "X": text},
        },
        queue="a.b:c",
        type="HTTP",
        correlation_id="order-41",
        created_by=f"key:{text}",
        concurrency_key=text,
    )
    ends = {
        ExecutionStatus.LOST: (
            None,
            {"outcome": "SUCCESS", "at": "2026-01-01T00:00:00Z", "result": shell, "error": None},
        ),
        ExecutionStatus.RELEASED: (None, None),
        ExecutionStatus.TIMED_OUT: (shell, None),
        ExecutionStatus.CANCELLED: (shell, None),
        ExecutionStatus.SUCCESS: ({"statusCode": 200, "body": text, "headers": {"set-cookie": "hunter2"}}, None),
        ExecutionStatus.FAILED: (shell, None),
    }
    for attempt, (status, (result, came_late)) in enumerate(ends.items(), start=1):
        failed = status == ExecutionStatus.FAILED
        make_execution(
            task,
            attempt=attempt,
            status=status,
            task_status=TaskStatus.FAILED if failed else TaskStatus.PENDING,
            result=result,
            late=came_late,
            error_code="EXIT_CODE" if failed else None,
            error_message=f"failed {text}" if failed else None,
        )
    AuditEvent.objects.create(
        actor=f"user:{text}", action="task.retried", target=f"task:{task.pk}", task_id=task.pk, reason=text,
        from_status="FAILED", to_status="PENDING", detail={"note": text},
    )  # fmt: skip
    return task


def make_everything(text: str) -> Task:
    """Rows for every page of the system, with a text wherever people or programs may write one."""
    task = make_history(text)
    make_output(Task.objects.latest("id"), f"{text}\n", f"::group::{text}\n")
    worker = make_worker(name=text, host=text, queues=[text], labels={text: text})
    make_task(status=TaskStatus.RUNNING, worker_id=worker.pk, cancel_requested_at=datetime.now(UTC), queue="a.b:c")
    make_task(status=TaskStatus.SCHEDULED, worker_id=worker.pk)
    make_task(run_at=datetime.now(UTC) + timedelta(days=1), payload={"command": text}, type="SHELL")
    make_task(status=TaskStatus.FAILED, end_reason="EXPIRED")
    make_task(status=TaskStatus.CANCELLED)
    Scheduler.objects.create(scheduler_id=uuid4(), pid=1, host=text)
    edit_queue("a.b:c", {"fairBy": "createdBy", "rateLimit": {"limit": 1, "periodSeconds": 9}}, actor="user:maria")
    make_task(queue="a.b:c", concurrency_key=text, status=TaskStatus.RUNNING, created_by=text)
    set_key("a.b:c", text, {"paused": True, "weight": 7}, actor="user:maria")
    make_task(queue="a.b:c", concurrency_key=text)
    pause_queue("a.b:c", actor="user:maria", reason=text)
    put_target("api.example.com", Rules(max_concurrency=4), actor="user:maria")
    keys.create_key("shop", ["tasks:read"], actor=f"user:{text}")
    endpoint, _ = make_endpoint("on-call", url="https://x.example/?token=hunter2")
    make_delivery(endpoint, source_id=task.pk)
    outer, later = make_batch(name=text, status="OPEN"), {"type": "DUMMY", "x": text}
    batch = make_graph(text, parent_id=outer.pk, created_by=text, on_complete=later)
    AuditEvent.objects.create(actor=text, action="batch.closed", target=f"batch:{batch.pk}", reason=text)
    Mark.objects.create(name=text, at=datetime.now(UTC), created_by=text)
    make_failure(text, type="HTTP", queue="a.b:c")
    make_freezes(text)
    make_operation(reason=text, asked_by=text, error=text, filter={"queue": text}, skips={"ENDED": 1}, skipped=1)
    return task


def make_freezes(text: str) -> None:
    """A freeze that is over, one that thaws, and one that holds, which every page says at its top."""
    over = {"queues": [], "types": ["SHELL"], "thawed_at": datetime.now(UTC), "thawed_by": text}
    for columns in (
        {**over, "ended_at": datetime.now(UTC)},
        {**over, "thaw_limit": 9, "thaw_period": 60, "thaw_burst": 9, "thaw_full_at": datetime.now(UTC)},
        {"queues": ["a.b:c"], "targets": ["api.example.com"], "types": ["SHELL"]},
    ):
        Freeze.objects.create(id=new_task_id(), reason=text, created_by=text, **columns)


def make_graph(text: str, **columns: Any) -> Batch:
    """A batch whose tasks depend on each other, on a batch in it, and on a task elsewhere, with a text in its names.

    It and the last of its tasks are the youngest of all: what lists begin with.
    """
    inner_id, batch_id = new_task_ids(2)
    at, later = datetime.now(UTC) - timedelta(minutes=1), {"type": "DUMMY", "payload": {"x": text}}
    ended = {"status": "FAILED", "finished_at": at, "completed_at": at}
    batch = make_batch(id=batch_id, name=text, **{**ended, "on_complete": later, **columns})
    inner = make_batch(id=inner_id, name=text, parent_id=batch.pk, status="SUCCESS")
    make_task(
        id=follow_ups_made(batch)[FollowUp.COMPLETE], created_by="test", status=TaskStatus.RUNNING, worker_id=uuid4()
    )
    elsewhere, fell, clean = make_task(), TaskStatus.FAILED, {"batch_id": batch.pk, "payload": {"command": text}}
    parts = [make_task(**clean, status=status, attempt=1) for status in (TaskStatus.SUCCESS, fell)]
    never = make_task(**clean, status=TaskStatus.CANCELLED, end_reason="DEPENDENCY_FAILED")
    last = make_task(**clean, type="SHELL", gate=2, has_dependents=True)
    for child, parents in ((never, parts), (last, [never, parts[1], elsewhere])):
        for parent in parents:
            outcome = parent.status if parent.finished_at else None
            TaskEdge.objects.create(child_id=child.pk, parent_id=parent.pk, outcome=outcome)
    TaskEdge.objects.create(child_id=last.pk, parent_id=inner.pk, of_batch=True, outcome="SUCCESS")
    TaskJoin.objects.create(task_id=last.pk, run_if="any_failed", otherwise="cancel")
    TaskJoin.objects.create(task_id=never.pk, run_if="all_success", otherwise="cancel")
    return batch


def make_schedules(text: str) -> None:
    """A schedule with a slot in every state, paused, and a calendar it names."""
    make_calendar("closed", {"dates": "12-24/12-26"}, {"weekdays": ["sat"], "from": "22:00", "to": "06:00"})
    schedule = make_schedule(
        name="nightly", due=0, description=text, paused_at=datetime.now(UTC), paused_by=text, pause_reason=text,
        calendars=["closed"], created_by=text, task={"type": "DUMMY", "queue": "a.b:c", "payload": {"x": text}},
    )  # fmt: skip
    make_schedule(name="weekly", due=0, cron="0 * * * *", timezone="Europe/Berlin")
    for n, state in enumerate(FireState):
        at = whole_now() - MINUTE * n
        ScheduleFire.objects.create(schedule_id=schedule.pk, slot=at, due_at=at, decided_at=at, state=state, note=text)
    AuditEvent.objects.create(
        actor=f"user:{text}",
        action="schedule.paused",
        target="schedule:nightly",
        reason=text,
        detail={"fields": [text]},
    )
    Group.objects.create(name=text[:150])


def admin_addresses() -> dict[str, str]:
    """The address of everything below ``/admin/`` by its name; pages of a row are those of the first there is."""
    return dict(_addresses(get_resolver().url_patterns, ""))


def other_addresses() -> dict[str, str]:
    """Further looks of pages, by what they show: lists and charts of something else, and other rows."""
    tasks, task = reverse("admin:tasks_app_task_changelist"), TaskOutput.objects.latest("pk").task_id
    freezes = {status: Freeze.objects.filter(of_statuses([status])).first() for status in FreezeStatus}
    return {
        "retrying": f"{tasks}?retrying=yes",
        "no task": f"{tasks}?queue=nothing",
        "act on many": f"{reverse('admin:tasks_app_bulkoperation_add')}?status=FAILED",
        "output": reverse("admin:tasks_app_task_output", args=[task]),
        "failures of a week": f"{reverse('admin:tasks_app_failuregroup_changelist')}?within=7d",
        "history of a day": f"{reverse('admin:history')}?last=24h",
        "history as a table": f"{reverse('admin:history')}?last=7d&table=ended",
        "freeze, filled in": f"{reverse('admin:flow_app_freeze_add')}?queues=a.b:c&types=SHELL",
        **{f"freeze, {status}": page_url(row) for status, row in freezes.items()},
    }


def _addresses(patterns: list[Any], namespace: str) -> Iterator[tuple[str, str]]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from _addresses(pattern.url_patterns, inner)
        elif isinstance(pattern, URLPattern) and pattern.name and namespace == "admin:":
            takes = len(pattern.pattern.converters) or pattern.pattern.regex.groups
            name = f"admin:{pattern.name}"
            yield name, reverse(name, args=[_key(pattern.name)] if takes else [])


def _key(name: str) -> str:
    """What stands in an address: of an app's page the app, of a row's page its primary key."""
    if name == "app_list":
        return "tasks_app"
    for model in apps.get_models():
        if name.startswith(f"{model._meta.app_label}_{model._meta.model_name}_"):
            row = model._default_manager.first()
            return "1" if row is None else str(quote(row.pk))
    return "1"
