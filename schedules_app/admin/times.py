"""The times of a recurrence as people read them: local with offset, and what the clock changes do to them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

from schedules_app.calendars import Blackouts, Calendar, OnBlackout
from schedules_app.effort import Effort
from schedules_app.recurrence import DstFold, DstGap, Recurrence, Slot

#: How many slots a preview shows, and how many of those that a change of the clock touches.
NEXT_FIRES: Final = 10
MOST_CHANGES: Final = 6
#: How far ahead changes of the clock are looked for, and how many slots of one night are looked at.
_YEAR: Final = timedelta(days=366)
_MOST_SLOTS: Final = 500


@dataclass(frozen=True, slots=True)
class Time:
    """One slot to come; ``note`` in words, empty for an ordinary one."""

    local: str
    utc: str
    note: str


def next_times(recurrence: Recurrence, *, after: datetime, blackouts: Sequence[Calendar] = ()) -> list[Time]:
    """The next slots, with what the clock and the calendars do to them. Raises `TooCostly`."""
    known = Blackouts(blackouts, Effort())
    return [_time(recurrence, slot, known) for slot in islice(recurrence.slots(after), NEXT_FIRES)]


def clock_changes(recurrence: Recurrence, *, after: datetime) -> list[Time]:
    """The slots of the coming year that a change of the clock touches. None of a recurrence by elapsed time.

    Raises `TooCostly`.
    """
    if not recurrence.fixed_time:
        return []
    touched = (slot for night in _nights(recurrence, after) for slot in night if slot.note)
    return [_time(recurrence, slot, Blackouts((), Effort())) for slot in islice(touched, MOST_CHANGES)]


def local_text(at: datetime, recurrence: Recurrence | None) -> str:
    """``Sun 29 Mar 2026 03:00:00 +02:00``, in UTC where there is no zone."""
    local = at.astimezone(recurrence.zone.info if recurrence else UTC)
    offset = local.isoformat()[-6:]
    return f"{local:%a %d %b %Y %H:%M:%S} {offset}"


def _nights(recurrence: Recurrence, after: datetime) -> Iterator[Iterator[Slot]]:
    """For each change of the zone's offset in the coming year, the slots round it."""
    at = after
    while at < after + _YEAR:
        segment = recurrence.zone.segment_at(at)
        at, jump = segment.end, abs(segment.after - segment.offset)
        if jump:
            since = max(after, at - jump - timedelta.resolution)
            yield islice(recurrence.slots(since, at + jump), _MOST_SLOTS)


def _time(recurrence: Recurrence, slot: Slot, blackouts: Blackouts) -> Time:
    blackout = blackouts.covering(slot.at)
    notes = [_clock_note(recurrence, slot)]
    if blackout is not None:
        end = local_text(blackout.until, recurrence)
        what = "skipped" if blackout.on_blackout is OnBlackout.SKIP else f"runs at its end, {end}"
        notes.append(f"in blackout {blackout.calendar}: {what}")
    note = "; ".join(filter(None, notes))
    return Time(local_text(slot.at, recurrence), f"{slot.at:%Y-%m-%d %H:%M:%S} UTC", note)


def _clock_note(recurrence: Recurrence, slot: Slot) -> str:
    if slot.note == "DST_GAP":
        skipped = recurrence.definition.dst_gap is DstGap.SKIP
        return f"the clock jumps over {slot.local:%H:%M:%S}: {'skipped' if skipped else 'runs right after the jump'}"
    if slot.note == "DST_FOLD":
        once = recurrence.fixed_time and recurrence.definition.dst_fold is DstFold.ONCE
        return f"the clock shows {slot.local:%H:%M:%S} twice: {'runs the first time' if once else 'runs both times'}"
    return ""
