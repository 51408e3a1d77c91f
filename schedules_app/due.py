"""Which slots of a schedule are due: the undecided ones up to now, each with its jitter. Pure."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import dropwhile, islice, takewhile, zip_longest
from typing import Final
from uuid import UUID

from schedules_app.effort import Effort
from schedules_app.recurrence import Recurrence, Slot

#: With more undecided slots than this, only the newest MOST_KEPT are looked at.
MOST_WALKED: Final = 1000
MOST_KEPT: Final = 100
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Due:
    """A slot and the moment it is due (``next_slot``, ``next_fire_at``)."""

    slot: Slot
    at: datetime


def next_due(
    schedule_id: UUID,
    recurrence: Recurrence,
    jitter: timedelta,
    *,
    after: datetime,
    after_local: datetime | None = None,
    effort: Effort | None = None,
) -> Due | None:
    """The first slot after an instant, and its due moment. Raises `TooCostly`.

    ``after_local``: after a change of zone rules, fixed times must also lie after the last decided wall clock, so that
    none runs twice.
    """
    if after_local is not None and recurrence.fixed_time:
        # Slots before it are left out without walking through them: there may be one each second, for a day.
        after = max(after, recurrence.zone.instants(after_local)[0] - _SECOND)
    slots = recurrence.slots(after, effort=effort)
    if after_local is not None and recurrence.fixed_time:
        slots = dropwhile(lambda slot: slot.local <= after_local, slots)
    slot = next(slots, None)
    return None if slot is None else _due(schedule_id, slot, next(slots, None) if jitter else None, jitter)


def jitter(schedule_id: UUID, slot: datetime, spread: timedelta) -> timedelta:
    """A delay in [0, spread), uniform over slots, the same each time it is asked (SHA-256 of id and slot)."""
    digest = hashlib.sha256(schedule_id.bytes + slot.astimezone(UTC).isoformat().encode()).digest()
    return spread // timedelta.resolution * int.from_bytes(digest[:6]) // 2**48 * timedelta.resolution


@dataclass(frozen=True, slots=True)
class Window:
    """The undecided slots up to now, whatever schedule they are of."""

    #: First and last of the slots that are too many to look at.
    older: tuple[Slot, Slot] | None
    slots: tuple[Slot, ...]
    #: The next two, as far as there are.
    following: tuple[Slot, ...]


@lru_cache(maxsize=128)
def look(recurrence: Recurrence, first: datetime, now: datetime) -> Window:
    """Cached: schedules with the same recurrence, due in the same pass, are looked at once. Raises `TooCostly`."""
    return look_anew(recurrence, first, now, Effort())


def look_anew(recurrence: Recurrence, first: datetime, now: datetime, effort: Effort) -> Window:
    """The same, not cached, and paid for by the caller."""
    after = first - timedelta.resolution
    slots = tuple(islice(recurrence.slots(after, now, effort), MOST_WALKED + 1))
    older = None
    if len(slots) > MOST_WALKED:
        last_older, *newest = recurrence.recent(after=after, until=now, limit=MOST_KEPT + 1, effort=effort)
        older, slots = (slots[0], last_older), tuple(newest)
    return Window(older, slots, tuple(islice(recurrence.slots(now, effort=effort), 2)))


class Upcoming:
    """Windows of a recurrence for who goes through it in order: each slot is found once, not once for each window."""

    def __init__(self, recurrence: Recurrence, effort: Effort, *, after: datetime) -> None:
        self._recurrence = recurrence
        self._effort = effort
        self._found: deque[Slot] = deque()
        self._slots: Iterator[Slot] | None = recurrence.slots(after, effort=effort)

    def window(self, first: datetime, now: datetime) -> Window:
        """As `look`; neither ``first`` nor ``now`` may go back. Raises `TooCostly`."""
        found = self._found
        slots = self._slots = self._slots or self._recurrence.slots(first - timedelta.resolution, effort=self._effort)
        while found and found[0].at < first:
            found.popleft()
        while len(found) < 2 or found[-2].at <= now:
            if len(found) > MOST_WALKED + 2:
                found.clear()
                self._slots = None  # what it returns may be left undecided: begin again where it is asked next
                return look_anew(self._recurrence, first, now, self._effort)
            slot = next(slots, None)
            if slot is None:
                break
            if slot.at >= first:
                found.append(slot)
        due = tuple(takewhile(lambda each: each.at <= now, found))
        return Window(None, due, tuple(islice(found, len(due), len(due) + 2)))


def due_slots(schedule_id: UUID, spread: timedelta, window: Window, now: datetime) -> tuple[list[Due], Due | None]:
    """Slots whose due moment has come, and the first whose has not."""
    slots = [*window.slots, *window.following]
    due: list[Due] = []
    for slot, following in zip_longest(slots[: len(window.slots) + 1], slots[1:]):
        if slot is None:
            break
        moment = _due(schedule_id, slot, following, spread)
        if moment.at > now:
            return due, moment
        due.append(moment)
    return due, None


def _due(schedule_id: UUID, slot: Slot, following: Slot | None, spread: timedelta) -> Due:
    """A slot with its jitter, which never reaches the next slot: due moments come in the order of their slots."""
    if following is not None:
        spread = min(spread, following.at - slot.at)
    return Due(slot, slot.at + jitter(schedule_id, slot.at, spread) if spread else slot.at)
