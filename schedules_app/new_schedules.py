"""What somebody asks for when they create or edit a schedule, and the checks every way in shares.

Pure but for the executor registry. Field names in problems are those of the JSON API; the template's begin with
``task.``. Whether the name is free and the calendars exist is the database's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from schedules_app.firing_rules import Misfire, Overlap
from schedules_app.recurrence import Definition, DstFold, DstGap
from tasks_app.new_tasks import NewTask


class InvalidSchedule(ValueError):
    """A schedule that cannot be kept. ``problems`` maps a JSON field path to one sentence."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in problems.items()))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSchedule:
    """A schedule to create, or what an edit would make of one."""

    name: str
    task: NewTask
    cron: str | None = None
    interval_seconds: int | None = None
    rrule: str | None = None
    timezone: str = "UTC"
    description: str = ""
    enabled: bool = True
    start_at: datetime | None = None
    end_at: datetime | None = None
    jitter_seconds: int = 0
    misfire_policy: str = Misfire.RUN_ONCE
    misfire_max_runs: int = 10
    misfire_grace_seconds: int = 60
    overlap: str = Overlap.SKIP
    dst_gap: str = DstGap.RUN_AFTER
    dst_fold: str = DstFold.ONCE
    calendars: tuple[str, ...] = ()

    def definition(self, *, created_at: datetime) -> Definition:
        """The recurrence of it; ``created_at`` is the anchor where there is no startAt."""
        raise NotImplementedError


def check_schedule(new: NewSchedule, *, now: datetime) -> str:
    """Check a schedule and its template; answer the template's payload as JSON text. Raises `InvalidSchedule`."""
    raise NotImplementedError
