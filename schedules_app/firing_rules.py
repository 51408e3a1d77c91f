"""What becomes of each due slot of a schedule. Pure: values in, values out, the clock passed in.

For each undecided slot whose due moment (slot + jitter) is not after now, in this order:

    1  the clock jumped over it, dst.gap skip      SKIPPED_DST
    2  paused                                      SKIPPED_PAUSED
    3  in a blackout that skips                    SKIPPED_BLACKOUT
       in one that runs at its end                 waits; then the newest is LATE, the older COALESCED
    4  due no longer than the grace ago            runs
    5  missed:  skip                               MISSED
                run_once                           COALESCED into the newest due slot, which runs
                run_all                            the newest maxRuns run, the older MISSED
    6  of those that run, with a task still open:
                allow                              runs
                skip                               SKIPPED_OVERLAP
                queue_one                          runs if fewer than two are open, behind them; else SKIPPED_OVERLAP
                cancel_running                     the newest runs and ends the open ones; others SKIPPED_OVERLAP

What runs on time is FIRED, else LATE. Nothing late starts inside a blackout. After a long outage only the newest 100 slots are
looked at one by one; the older ones are one decision over a *run* of slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from schedules_app.calendars import Calendar
from schedules_app.recurrence import Recurrence, Slot


class FireState(StrEnum):
    """The decision about a slot, as written to the ledger."""

    FIRED = "FIRED"
    LATE = "LATE"
    COALESCED = "COALESCED"
    SKIPPED_OVERLAP = "SKIPPED_OVERLAP"
    SKIPPED_BLACKOUT = "SKIPPED_BLACKOUT"
    SKIPPED_PAUSED = "SKIPPED_PAUSED"
    SKIPPED_DST = "SKIPPED_DST"
    MISSED = "MISSED"


class Misfire(StrEnum):
    """What becomes of slots that were missed: due longer ago than the grace."""

    SKIP = "skip"
    RUN_ONCE = "run_once"
    RUN_ALL = "run_all"


class Overlap(StrEnum):
    """What becomes of a slot while a task of the schedule is open (has not ended)."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE_ONE = "queue_one"
    CANCEL_RUNNING = "cancel_running"


@dataclass(frozen=True, slots=True)
class Pause:
    """The newest pause: slots from ``since`` to before ``until`` do not run; until None: paused now, nothing runs."""

    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The choices of a schedule, with their defaults."""

    jitter: timedelta = timedelta(0)
    misfire: Misfire = Misfire.RUN_ONCE
    max_runs: int = 10
    grace: timedelta = timedelta(seconds=60)
    overlap: Overlap = Overlap.SKIP
    calendars: tuple[Calendar, ...] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """A slot and the moment it is due (``next_slot``, ``next_fire_at``)."""

    slot: Slot
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One row of the ledger."""

    slot: Slot
    state: FireState
    note: str = ""
    #: The decision stands for all slots from ``slot`` to this instant (a run beyond the newest 100); else None.
    last_slot: datetime | None = None
    #: Cancel the tasks of the schedule that were open before this decision.
    cancel_open: bool = False
    #: The task waits for the open ones: give it a concurrency key (the template's own, or the schedule's).
    chained: bool = False

    @property
    def runs(self) -> bool:
        """Does it make a task?"""
        return self.state in (FireState.FIRED, FireState.LATE)


@dataclass(frozen=True, slots=True)
class Decided:
    """The outcome of a look at a schedule: decisions in the order of their slots, and when to look again."""

    decisions: tuple[Decision, ...]
    #: None: the schedule has ended.
    next: Due | None


def decide(
    schedule_id: UUID,
    recurrence: Recurrence,
    policy: Policy,
    *,
    first: datetime,
    now: datetime,
    pause: Pause | None = None,
    open_tasks: Sequence[UUID] = (),
) -> Decided:
    """Decide every slot from ``first`` (the stored next_slot, inclusive) that is due at ``now``.

    ``open_tasks``: tasks of this schedule that have not ended, oldest first.
    """
    raise NotImplementedError


def next_due(
    schedule_id: UUID, recurrence: Recurrence, jitter: timedelta, *, after: datetime, after_local: datetime | None = None
) -> Due | None:
    """The first slot after an instant, and its due moment.

    ``after_local``: after a change of zone rules, fixed times must also lie after the last decided wall clock, so that
    none runs twice.
    """
    raise NotImplementedError


def jitter(schedule_id: UUID, slot: datetime, spread: timedelta) -> timedelta:
    """A delay in [0, spread), uniform over slots, the same each time it is asked (SHA-256 of id and slot)."""
    raise NotImplementedError
