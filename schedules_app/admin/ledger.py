"""The ledger of one schedule as a calendar of days, and as rows of a table with their tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.utils.safestring import SafeString

from access_app.staff import display
from schedules_app.admin.times import local_text
from schedules_app.firing_rules import FireState
from schedules_app.models import ScheduleFire
from schedules_app.outcomes import statuses_of_batches
from schedules_app.recurrence import Recurrence
from schedules_app.selectors import fires
from schedules_app.zones import Zone
from tasks_app.selectors import statuses_of

WEEKS: Final = 6
MOST_ROWS: Final = 25
#: So many of the newest slots are counted; what lies before is not, and the days say so.
MOST_COUNTED: Final = 100_000
#: The state a day is coloured by is the first of these that occurs in it.
WORST_FIRST: Final = (
    FireState.MISSED,
    FireState.LATE,
    FireState.SKIPPED_OVERLAP,
    FireState.COALESCED,
    FireState.SKIPPED_BLACKOUT,
    FireState.SKIPPED_DST,
    FireState.SKIPPED_PAUSED,
    FireState.FIRED,
)
#: A sign beside the colour, for those who do not see colours.
_SIGNS: Final = {
    FireState.MISSED: "✕",
    FireState.LATE: "◷",
    FireState.SKIPPED_OVERLAP: "∩",
    FireState.COALESCED: "≡",
    FireState.SKIPPED_BLACKOUT: "▪",
    FireState.SKIPPED_DST: "↷",
    FireState.SKIPPED_PAUSED: "||",
    FireState.FIRED: "✓",
}
_DAY: Final = timedelta(days=1)

# The newest slots up to a bound, by day and state; and the last one before, which may stand for slots of these days.
# Index: fires_slot. width_bucket, because days of 23 and 25 hours are days too, and the database may not know the zone.
_COUNTS: Final = """
(SELECT width_bucket(slot, %(days)s::timestamptz[]) AS day, state, last_slot, count(*), min(slot)
   FROM (SELECT slot, state, last_slot FROM schedule_fires
          WHERE schedule_id = %(schedule)s AND slot >= %(since)s AND slot < %(until)s
          ORDER BY slot DESC LIMIT %(limit)s) AS newest
  GROUP BY 1, 2, 3)
UNION ALL
(SELECT 0, state, last_slot, 1, slot FROM schedule_fires
  WHERE schedule_id = %(schedule)s AND slot < %(since)s ORDER BY slot DESC LIMIT 1)
"""


@dataclass(slots=True)
class Day:
    """One cell of the calendar."""

    day: date
    counts: Counter[FireState] = field(default_factory=Counter)
    #: States of rows that stand for slots nobody counted.
    uncounted: set[FireState] = field(default_factory=set)
    is_today: bool = False
    is_future: bool = False
    is_unknown: bool = False
    is_chosen: bool = False

    @property
    def worst(self) -> FireState | None:
        return next((state for state in WORST_FIRST if state in self.counts or state in self.uncounted), None)

    @property
    def tone(self) -> str:
        return display.tone(self.worst) if self.worst else ""

    @property
    def sign(self) -> str:
        return "…" if self.is_unknown else _SIGNS[self.worst] if self.worst else ""

    @property
    def number(self) -> str:
        """How many slots there were, short."""
        total = self.counts.total()
        if not total:
            return "many" if self.uncounted else ""
        return (f"{total:,}" if total < 10_000 else f"{total // 1000}k") + ("+" if self.uncounted else "")

    @property
    def words(self) -> str:
        """The cell for those who do not see it."""
        parts = [f"{self.counts[state]:,} {_word(state)}" for state in WORST_FIRST if state in self.counts]
        parts += [f"many more {_word(state)}" for state in WORST_FIRST if state in self.uncounted]
        if self.is_unknown:
            parts.append("not counted: too many slots since")
        return f"{self.day:%A %d %B %Y}: {', '.join(parts) or ('to come' if self.is_future else 'no slots')}"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    fire: ScheduleFire
    badge: SafeString
    local: str
    last_local: str
    slot: str
    decided: SafeString | str
    delay: str
    task: SafeString | str
    task_badge: SafeString | str
    note: SafeString


def strip(schedule_id: UUID, zone: Zone, *, now: datetime, end: date | None, chosen: date | None) -> list[Day]:
    """The days of the weeks that end with the week of ``end`` (or today), in the schedule's zone."""
    today = zone.local(now).date()
    last = end or today
    first = last - timedelta(days=last.weekday() + 7 * (WEEKS - 1))
    days = [Day(first + _DAY * n) for n in range(7 * WEEKS)]
    for day in days:
        day.is_today, day.is_future, day.is_chosen = day.day == today, day.day > today, day.day == chosen
    starts = [start_of(each.day, zone) for each in days]
    _count(schedule_id, days, starts, start_of(first + _DAY * len(days), zone), zone)
    return days


def start_of(day: date, zone: Zone) -> datetime:
    """The first instant of a local day."""
    return zone.instants(datetime.combine(day, datetime.min.time()))[0]


def table(
    schedule_id: UUID,
    recurrence: Recurrence | None,
    *,
    states: Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[list[Row], bool]:
    """The newest rows, and whether there are more: two queries."""
    found = list(fires(schedule_id, states=states, since=since, until=until)[: MOST_ROWS + 1])
    statuses = statuses_of([fire.task_id for fire in found if fire.task_id])
    if batches := [fire.batch_id for fire in found if fire.batch_id]:
        statuses |= statuses_of_batches(batches)
    return [_row(fire, recurrence, statuses) for fire in found[:MOST_ROWS]], len(found) > MOST_ROWS


def _count(schedule_id: UUID, days: list[Day], starts: list[datetime], until: datetime, zone: Zone) -> None:
    parameters: Any = {
        "days": starts,
        "schedule": schedule_id,
        "since": starts[0],
        "until": until,
        "limit": MOST_COUNTED,
    }
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, parameters)
        found = cursor.fetchall()
    for bucket, state, last_slot, count, _ in found:
        if bucket:
            days[bucket - 1].counts[FireState(state)] += count
        if last_slot is not None:
            last_day = zone.local(last_slot).date()
            for day in days[max(bucket - 1, 0) :]:
                if day.day <= last_day:
                    day.uncounted.add(FireState(state))
    inside = [row for row in found if row[0]]
    if sum(row[3] for row in inside) >= MOST_COUNTED:
        oldest = min(row[4] for row in inside)
        for day, start in zip(days, starts, strict=True):
            day.is_unknown = start < oldest


def _row(fire: ScheduleFire, recurrence: Recurrence | None, statuses: dict[UUID, str]) -> Row:
    task: SafeString | str = display.EMPTY
    task_badge: SafeString | str = ""
    made = fire.task_id or fire.batch_id
    if made is not None:
        task = display.task_link(made) if fire.task_id else display.batch_link(made)
        task_badge = display.badge(statuses[made]) if made in statuses else "deleted since"
    return Row(
        fire=fire,
        badge=display.badge(fire.state),
        local=local_text(fire.slot, recurrence),
        last_local=local_text(fire.last_slot, recurrence) if fire.last_slot else "",
        slot=utc(fire.slot),
        decided=display.exact(fire.decided_at),
        delay=display.span(max(fire.decided_at - fire.due_at, timedelta(0))),
        task=task,
        task_badge=task_badge,
        note=display.with_links(fire.note),
    )


def utc(at: datetime) -> str:
    """A slot, which lies on a whole second."""
    at = at.astimezone(UTC)
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def legend() -> list[dict[str, Any]]:
    return [{"tone": display.tone(state), "sign": _SIGNS[state], "word": _word(state)} for state in WORST_FIRST]


def _word(state: FireState) -> str:
    return state.lower().replace("_", " ")
