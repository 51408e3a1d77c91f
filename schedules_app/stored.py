"""A schedule's row as the values that rules decide on, and a task template as the JSON it is stored as.

Reads no database: callers bring the row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

from schedules_app.calendars import Calendar
from schedules_app.firing_rules import Misfire, Overlap, Pause, Policy
from schedules_app.recurrence import Definition, DstFold, DstGap, Recurrence, parse
from tasks_app.executors.base import JsonObject
from tasks_app.fields import TEMPLATE, NewTask
from tasks_app.new_tasks import check_task

if TYPE_CHECKING:
    from schedules_app.models import Schedule

#: A cron counts from nothing. With one anchor for all, equal expressions are one recurrence, and are expanded once.
_NO_ANCHOR: Final = datetime(2000, 1, 1, tzinfo=UTC)


class StoredSchedule(NamedTuple):
    """A locked row of ``schedules``, as ``sql/due_schedules.sql`` returns it; ``now`` is the transaction's."""

    id: UUID
    name: str
    cron: str | None
    interval_seconds: int | None
    rrule: str | None
    timezone: str
    anchor_at: datetime
    start_at: datetime | None
    end_at: datetime | None
    jitter_seconds: int
    misfire_policy: str
    misfire_max_runs: int
    misfire_grace_seconds: int
    overlap: str
    dst_gap: str
    dst_fold: str
    calendars: list[str]
    #: None: it makes batches.
    task: str | None
    paused_at: datetime | None
    resumed_at: datetime | None
    next_slot: datetime | None
    last_slot: datetime
    last_local: datetime
    last_fire_at: datetime | None
    zone_rules: str
    #: How often in a row it could not be decided.
    put_offs: int
    #: Of its tasks that say nothing of one, as JSON text.
    callback: str | None
    now: datetime
    #: Whether no more than so many tasks may wait in the queue of its task, or for each key of it; of a batch, maybe.
    bounded: bool

    @classmethod
    def of(cls, schedule: Schedule, now: datetime) -> StoredSchedule:
        """The same of a model's instance; its queue is to be looked at."""
        texts = {"task": schedule.task, "callback": schedule.callback}
        values: dict[str, Any] = {name: value if value is None else json.dumps(value) for name, value in texts.items()}
        values |= {name: getattr(schedule, name) for name in cls._fields if name not in (*texts, "now", "bounded")}
        return cls(**values, now=now, bounded=True)

    @property
    def jitter(self) -> timedelta:
        return timedelta(seconds=self.jitter_seconds)

    @property
    def pause(self) -> Pause | None:
        return None if self.paused_at is None else Pause(self.paused_at, self.resumed_at)

    @property
    def local(self) -> datetime:
        """The wall clock of the last decided slot."""
        return self.last_local.replace(tzinfo=None)

    def recurrence(self) -> Recurrence:
        """Raises `InvalidRecurrence`: the zone or the parser may have changed since it was stored."""
        return recurrence_of(self)

    def policy(self, calendars: Mapping[str, Calendar]) -> Policy:
        """Its choices; of the calendars it names, those that exist."""
        return Policy(
            jitter=self.jitter,
            misfire=Misfire(self.misfire_policy),
            max_runs=self.misfire_max_runs,
            grace=timedelta(seconds=self.misfire_grace_seconds),
            overlap=Overlap(self.overlap),
            calendars=tuple(calendars[name] for name in self.calendars if name in calendars),
        )


def recurrence_of(row: StoredSchedule | Schedule) -> Recurrence:
    """What the times of a row mean. Raises `InvalidRecurrence`."""
    return parse(
        Definition(
            cron=row.cron,
            interval_seconds=row.interval_seconds,
            rrule=row.rrule,
            timezone=row.timezone,
            anchor=_NO_ANCHOR if row.cron is not None else row.start_at or row.anchor_at,
            start_at=row.start_at,
            end_at=row.end_at,
            dst_gap=DstGap(row.dst_gap),
            dst_fold=DstFold(row.dst_fold),
        )
    )


def template_json(new: NewTask) -> JsonObject:
    """A task template as it is stored and shown: what ``POST /tasks`` takes. Absent is not what null says."""
    values = ((row, getattr(new, row.column)) for row in TEMPLATE)
    return {
        row.name: None if value == row.null_says else value
        for row, value in values
        if row.null_says is None or value is not None
    }


def template_of(stored: Mapping[str, Any]) -> NewTask:
    """The template of a stored one."""
    return NewTask(**{row.column: row.asked(stored[row.name]) for row in TEMPLATE if row.name in stored})


@lru_cache(maxsize=4096)
def checked_template(text: str) -> tuple[NewTask, str]:
    """A template stored as JSON text, and its payload as JSON text. Raises `InvalidTask`: this installation may have
    lost its executor since."""
    new = template_of(json.loads(text))
    return new, check_task(new)
