"""Closed sets of values, each under a name of its own: a generated client then has one type for each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from monitoring_app.health import Status
from scheduler_project.openapi.parts import Json
from schedules_app.calendars import WEEKDAYS, OnBlackout
from schedules_app.firing_rules import FireState, Misfire, Overlap
from schedules_app.recurrence import DstFold, DstGap
from tasks_app.conf import Sandbox
from tasks_app.retries import Backoff
from tasks_app.states import ErrorCode, ExecutionStatus, OnWorkerLost, TaskStatus, WorkerState


def _set(values: Iterable[object], description: str) -> Json:
    return {"type": "string", "enum": list(map(str, values)), "description": description}


ENUMS: Final[Json] = {
    "TaskStatus": _set(TaskStatus, "Where a task stands. It has ended as SUCCESS, FAILED or CANCELLED."),
    "ExecutionStatus": _set(ExecutionStatus, "How an attempt ended. LOST: its worker died; RELEASED: given back."),
    "ErrorCode": _set(ErrorCode, "What kind of thing went wrong."),
    "OnWorkerLost": _set(OnWorkerLost, "After the loss of its worker in the middle of it: run again, or fail."),
    "Backoff": _set(Backoff, "How the delay grows from retry to retry."),
    "Sandbox": _set(Sandbox, "What held a command (SHELL_SANDBOX)."),
    "WorkerState": _set(WorkerState, "DEAD: it was silent for longer than its lease."),
    "HealthStatus": _set(Status, "DEGRADED: nothing is lost, but tasks wait."),
    "FireState": _set(FireState, "What became of a slot."),
    "MisfirePolicy": _set(Misfire, "What becomes of missed slots."),
    "Overlap": _set(Overlap, "What a slot does while the task of an earlier one has not ended."),
    "DstGap": _set(DstGap, "A fixed time that the clock jumps over."),
    "DstFold": _set(DstFold, "A fixed time that the clock shows twice."),
    "OnBlackout": _set(OnBlackout, "What becomes of a slot that falls into a blackout."),
    "Weekday": _set(WEEKDAYS, "A day of the week."),
}
