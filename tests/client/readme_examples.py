"""The README's examples, said with the client that openapi-python-client makes: type-checked, and run against a server.

Not imported by the suite: the package ``scheduler_client`` exists in the scratch folder of one test only.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

from scheduler_client import AuthenticatedClient
from scheduler_client.api.calendars import create_calendar, edit_calendar
from scheduler_client.api.health import get_health, get_metrics, is_live, recover
from scheduler_client.api.queues import list_queues, pause_queue, resume_queue
from scheduler_client.api.schedules import (
    create_schedule,
    edit_schedule,
    explain_schedule,
    list_fires,
    pause_schedule,
    preview_schedule,
    resume_schedule,
    trigger_schedule,
)
from scheduler_client.api.tasks import (
    cancel_task,
    clone_task,
    create_task,
    create_tasks,
    edit_task,
    explain_task,
    get_task,
    list_events,
    list_executions,
    list_tasks,
    retry_task,
)
from scheduler_client.api.workers import list_workers
from scheduler_client.models import (
    Backoff,
    BlackoutDates,
    BulkAnswer,
    BulkCreated,
    BulkRefused,
    BulkRequest,
    Calendar,
    CalendarChanges,
    CustomPayload,
    DummyPayload,
    DummyTask,
    DummyTemplate,
    EventList,
    ExecutionList,
    Figures,
    FirePage,
    FireState,
    Health,
    HttpHeaders,
    HttpPayload,
    HttpTask,
    Liveness,
    Misfire,
    MisfireChanges,
    MisfirePolicy,
    NewCalendar,
    NewCustomTask,
    NewDummyTask,
    NewHttpTask,
    NewSchedule,
    NewShellTask,
    Overlap,
    Pause,
    Preview,
    Problem,
    Queue,
    QueuePage,
    Reason,
    Recovery,
    RetryOptions,
    Schedule,
    ScheduleChanges,
    ScheduleWhy,
    ShellPayload,
    ShellTask,
    TaskChanges,
    TaskCursorPage,
    TaskPage,
    TaskSort,
    TaskStatus,
    Why,
    WorkerList,
)

T = TypeVar("T")
FAR = datetime(2030, 1, 31, 8, tzinfo=UTC)


def got(kind: type[T], answer: object) -> T:
    """The answer, which must be of this kind."""
    assert isinstance(answer, kind), answer
    return answer


def create(client: AuthenticatedClient) -> UUID:
    """Of each type; with retries; once only; many."""
    headers = HttpHeaders.from_dict({"X-Order": "17"})
    payload = HttpPayload(url="http://127.0.0.1:8000/health/live", headers=headers, expected_status=[200, "300-399"])
    called = got(HttpTask, create_task.sync(client=client, body=NewHttpTask(type_="HTTP", payload=payload)))
    assert got(HttpPayload, called.payload).to_dict() == payload.to_dict()
    ran = create_task.sync(client=client, body=NewShellTask(type_="SHELL", payload=ShellPayload(argv=["/bin/date"])))
    assert got(ShellTask, ran).status is TaskStatus.PENDING
    later = NewDummyTask(
        type_="DUMMY",
        payload=DummyPayload(should_fail=True),
        queue="mail",
        priority=5,
        concurrency_key="customer-42",
        schedule_at=FAR,
        expires_at=FAR + timedelta(hours=4),
        max_retries=2,
        retry=RetryOptions(backoff=Backoff.FIXED, base_delay_ms=200, jitter=False),
    )
    made = got(DummyTask, create_task.sync(client=client, body=later))
    assert (made.retry.base_delay_ms, made.max_retries, made.schedule_at) == (200, 2, FAR)
    for status in (201, 200):
        same = create_task.sync_detailed(client=client, body=NewDummyTask(type_="DUMMY"), idempotency_key="order-17")
        assert same.status_code == status
    refused = create_task.sync(client=client, body=NewCustomTask(type_="NOSUCHTYPE", payload=CustomPayload()))
    assert [error.field for error in got(Problem, refused).errors] == ["type"]
    two = BulkRequest(tasks=[NewDummyTask(type_="DUMMY"), NewDummyTask(type_="DUMMY", priority=500)])
    many = got(BulkAnswer, create_tasks.sync(client=client, body=two))
    assert [type(item) for item in many.items] == [BulkCreated, BulkRefused]
    return made.id


def look(client: AuthenticatedClient) -> None:
    """Pages by number and by cursor, filtered and sorted."""
    states = [TaskStatus.PENDING, TaskStatus.CANCELLED]
    numbered = got(TaskPage, list_tasks.sync(client=client, status=states, type_="DUMMY", size=2, page=0))
    assert (numbered.total_elements, len(numbered.content), numbered.last) == (3, 2, False)
    seen, cursor = 0, ""
    while True:
        page = list_tasks.sync(client=client, cursor=cursor, size=2, sort=TaskSort.CREATEDATASC, queue="default")
        keyset = got(TaskCursorPage, page)
        seen += len(keyset.content)
        if keyset.next_ is None:
            break
        cursor = keyset.next_
    assert seen == 4


def change(client: AuthenticatedClient, task_id: UUID) -> None:
    """Edit under a condition, cancel, retry, clone, and ask why."""
    tag = get_task.sync_detailed(task_id, client=client).headers["ETag"]
    edited = edit_task.sync(task_id, client=client, body=TaskChanges(priority=50), if_match=tag)
    assert (got(DummyTask, edited).priority, got(DummyTask, edited).queue) == (50, "mail")
    stale = got(Problem, edit_task.sync(task_id, client=client, body=TaskChanges(priority=1), if_match=tag))
    assert stale.status == 412
    reasons = got(Why, explain_task.sync(task_id, client=client)).reasons
    assert "NOT_DUE" in {reason.code for reason in reasons}
    assert got(DummyTask, cancel_task.sync(task_id, client=client)).status is TaskStatus.CANCELLED
    assert got(DummyTask, retry_task.sync(task_id, client=client)).status is TaskStatus.PENDING
    assert got(DummyTask, clone_task.sync(task_id, client=client)).id != task_id
    assert got(ExecutionList, list_executions.sync(task_id, client=client)).content == []
    events = got(EventList, list_events.sync(task_id, client=client)).content
    assert (events[0].from_, events[0].to) == (None, TaskStatus.PENDING)


def repeat(client: AuthenticatedClient) -> None:
    """A schedule: created, changed without touching the rest, paused, triggered."""
    nights = NewCalendar(name="nights", ranges=[BlackoutDates(dates="12-24/12-26")], description="holidays")
    assert got(Calendar, create_calendar.sync(client=client, body=nights)).version == 1
    moved = edit_calendar.sync("nights", client=client, body=CalendarChanges(timezone="Europe/Berlin"))
    assert (got(Calendar, moved).description, got(Calendar, moved).timezone) == ("holidays", "Europe/Berlin")
    report = NewSchedule(
        name="report",
        description="every night",
        cron="30 2 * * MON-FRI",
        timezone="Europe/Berlin",
        misfire=Misfire(policy=MisfirePolicy.RUN_ALL, max_runs=3),
        overlap=Overlap.QUEUE_ONE,
        calendars=["nights"],
        task=DummyTemplate(type_="DUMMY", payload=DummyPayload(sleep_duration_ms=5), priority=7),
    )
    schedule = got(Schedule, create_schedule.sync(client=client, body=report))
    changes = ScheduleChanges(cron="30 4 * * *", misfire=MisfireChanges(grace_seconds=10))
    edited = got(Schedule, edit_schedule.sync(schedule.id, client=client, body=changes))
    assert (edited.cron, edited.misfire.grace_seconds) == ("30 4 * * *", 10)
    kept = (edited.description, edited.timezone, edited.overlap, edited.calendars, edited.misfire.max_runs)
    assert kept == ("every night", "Europe/Berlin", Overlap.QUEUE_ONE, ["nights"], 3)
    assert got(DummyTemplate, edited.task).priority == 7
    assert len(got(Preview, preview_schedule.sync(schedule.id, client=client, count=10)).fires) == 10
    states = [FireState.MISSED, FireState.COALESCED]
    assert got(FirePage, list_fires.sync(schedule.id, client=client, state=states)).content == []
    assert got(Schedule, pause_schedule.sync(schedule.id, client=client, body=Reason("maintenance"))).paused_by
    why = got(ScheduleWhy, explain_schedule.sync(schedule.id, client=client)).reasons
    assert "PAUSED" in {reason.code for reason in why}
    assert got(Schedule, resume_schedule.sync(schedule.id, client=client)).paused_at is None
    assert got(DummyTask, trigger_schedule.sync(schedule.id, client=client)).schedule_id == schedule.id


def operate(client: AuthenticatedClient) -> None:
    """Queues, health, recovery."""
    pause = Pause(reason="provider is down", until=FAR)
    assert got(Queue, pause_queue.sync("mail", client=client, body=pause)).paused_until == FAR
    assert "mail" in [queue.name for queue in got(QueuePage, list_queues.sync(client=client)).content]
    assert not got(Queue, resume_queue.sync("mail", client=client)).paused
    assert got(Liveness, is_live.sync(client=client)).status == "UP"
    assert "queue" in got(Health, get_health.sync(client=client)).checks
    assert got(WorkerList, list_workers.sync(client=client)).content == []
    assert got(Figures, get_metrics.sync(client=client, hours=2)).attempts == 0
    assert got(Recovery, recover.sync(client=client)).invariants.ok


def main(base: str, key: str) -> None:
    with AuthenticatedClient(base_url=base, token=key, raise_on_unexpected_status=True) as client:
        task_id = create(client)
        look(client)
        change(client, task_id)
        repeat(client)
        operate(client)


if __name__ == "__main__":
    main(*sys.argv[1:])
