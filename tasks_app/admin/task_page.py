"""What the page of one task shows: definition, state, why it does not run, timeline, attempts with their output.

Bounded whatever the task has been through: the newest attempts and events are shown, the rest is a link.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from access_app.rights import Person
from access_app.staff import display
from access_app.staff.outputs import Output, masked, pretty, take_apart
from tasks_app import selectors
from tasks_app.admin.dependencies import dependencies_of
from tasks_app.admin.used_inputs import used_inputs_of
from tasks_app.admin.why_panel import why_panel
from tasks_app.fields import ASKED, Asked
from tasks_app.kinds import INSTANT
from tasks_app.models import Task, TaskExecution
from tasks_app.progress import progress_of
from tasks_app.selectors import Event
from tasks_app.states import TaskStatus

MOST_ATTEMPTS: Final = 20
MOST_EVENTS: Final = 100
#: What is drawn as a fact: times and documents have places of their own.
FACTS: Final = [row for row in ASKED if row.stored and row.kind is not INSTANT and not row.kind.document]


@dataclass(frozen=True, slots=True)
class Late:
    """A result that arrived after its attempt was taken away."""

    outcome: str
    at: str
    output: Output
    error: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One ended attempt, ready to be drawn."""

    execution: TaskExecution
    badge: SafeString
    worker: SafeString | str
    started: str
    took: str
    waited: str
    error: dict[str, str] | None
    output: Output
    late: Late | None


@dataclass(frozen=True, slots=True)
class Step:
    """One event of the timeline, and how long after the one before it."""

    event: Event
    badge: SafeString | None
    reason: SafeString
    actor: SafeString
    at: str
    gap: str


def context_of(task: Task, person: Person) -> dict[str, Any]:
    """Everything the page of a task shows somebody that its row does not say by itself."""
    executions = list(TaskExecution.objects.filter(task_id=task.pk).order_by("-attempt")[: MOST_ATTEMPTS + 1])
    events = selectors.timeline(task)
    return {
        "badge": display.badge(task.status),
        "failure": masked(selectors.error_of(task, executions[0] if executions else None)),
        "reasons": [] if task.finished_at else why_panel(task, person, timezone.now()),
        "attempts": [attempt_of(execution) for execution in executions[:MOST_ATTEMPTS]],
        "more_attempts": len(executions) > MOST_ATTEMPTS,
        "steps": steps_of(events[-MOST_EVENTS:]),
        "more_events": max(0, len(events) - MOST_EVENTS),
        "payload": pretty(task.payload),
        "retry_policy": pretty(task.retry) if task.retry else "",
        "callback": pretty(task.callback) if task.callback else "",
        "approval": pretty(task.approval) if task.approval else "",
        "required_labels": pretty(task.required_labels) if task.required_labels else "",
        "dependencies": dependencies_of(task),
        "used_inputs": used_inputs_of(task),
        "progress": progress_of(task.pk) if task.attempt else None,
        "facts": facts_of(task),
        "times": times_of(task, timezone.now()),
        "running_for": display.span(timezone.now() - task.started_at) if _is_running(task) and task.started_at else "",
        "worker": display.worker_link(task.worker_id) if task.finished_at is None and task.worker_id else "",
    }


def attempt_of(execution: TaskExecution) -> Attempt:
    late = execution.late if isinstance(execution.late, dict) else None
    return Attempt(
        execution=execution,
        badge=display.badge(execution.status),
        worker=display.worker_link(execution.worker_id),
        started=display.exact(execution.started_at),
        took=display.span(execution.finished_at - execution.started_at),
        waited=display.span(max(execution.started_at - execution.due_at, timedelta(0))),
        error=masked(selectors.execution_error(execution)),
        output=take_apart(execution.result),
        late=late_of(late) if late else None,
    )


def late_of(late: dict[str, Any]) -> Late:
    error = late.get("error")
    return Late(
        outcome=str(late.get("outcome", "")),
        at=str(late.get("at", "")),
        output=take_apart(late.get("result")),
        error=masked(error) if isinstance(error, dict) else None,
    )


def steps_of(events: list[Event]) -> list[Step]:
    """The events in order; a request that changes no status (a cancel of a running task) has no badge."""
    steps: list[Step] = []
    before: datetime | None = None
    for event in events:
        changed = event.to_status and event.to_status != event.from_status
        gap = f"+{display.span(event.at - before)}" if before else ""
        steps.append(
            Step(
                event=event,
                badge=display.badge(event.to_status) if changed else None,
                reason=display.with_links(event.reason),
                actor=display.with_links(event.actor),
                at=display.exact(event.at),
                gap=gap,
            )
        )
        before = event.at
    return steps


def facts_of(task: Task) -> list[tuple[str, SafeString | str]]:
    """The definition, in the words of the form, and what the scheduler counts."""
    asked = {row.label: fact_of(row, getattr(task, row.column)) for row in FACTS}
    asked["Retries"] = f"{task.retry_count} of {task.max_retries:,} used"
    return [
        *asked.items(),
        ("Attempt", str(task.attempt)),
        ("Lost workers", str(task.crash_count)),
        ("Idempotency key", display.text_or_dash(task.idempotency_key)),
        ("Created by", task.created_by),
        *([("Schedule", display.schedule_link(task.schedule_id))] if task.schedule_id else []),
        *([("Batch", display.batch_link(task.batch_id))] if task.batch_id else []),
        ("Version", str(task.version)),
    ]


def fact_of(row: Asked, value: Any) -> SafeString | str:
    """The value of a field as a page shows it."""
    if link := _LINKS.get(row.column):
        return link(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return display.text_or_dash(row.kind.words.get(value, value))


def times_of(task: Task, now: datetime) -> list[tuple[str, str, SafeString | str]]:
    """The instants that are set: name, exact, and how far from now."""
    instants = {
        "Created": (task.created_at, display.past),
        "Slot (scheduledFor)": (task.scheduled_for, display.instant),
        "Scheduled for": (task.schedule_at, display.instant),
        "Next run": (task.run_at if task.status == TaskStatus.PENDING else None, display.due),
        "Last due": (task.run_at if task.status != TaskStatus.PENDING else None, display.past),
        "Expires": (task.expires_at, display.instant),
        "Assigned": (task.assigned_at, display.past),
        "Started": (task.started_at, display.past),
        "Cancel requested": (task.cancel_requested_at, display.past),
        "Ended": (task.finished_at, display.past),
    }
    return [(name, display.exact(at), words(at, now)) for name, (at, words) in instants.items() if at is not None]


def queue_link(name: str) -> SafeString:
    return display.link(f"{reverse('admin:tasks_app_task_changelist')}?{display.query(queue=name)}", name)


def correlation_link(correlation_id: str) -> SafeString:
    url = f"{reverse('admin:tasks_app_task_changelist')}?{display.query(q=correlation_id)}"
    return display.link(url, correlation_id)


#: What a page draws in its own way.
_LINKS: Final = {"queue": queue_link, "correlation_id": correlation_link}


def _is_running(task: Task) -> bool:
    return task.status == TaskStatus.RUNNING
