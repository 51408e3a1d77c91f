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

What runs on time is FIRED, else LATE. A missed slot does not run inside a blackout either: it is skipped, or waits with
its fellows. While a slot waits, no later one is decided. After a long outage only the newest 100 slots are looked at
one by one; the older ones are one decision over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from schedules_app.batch_templates import Open, named
from schedules_app.calendars import Blackout, Blackouts, Calendar, OnBlackout
from schedules_app.due import Due, Upcoming, due_slots, jitter, look, next_due
from schedules_app.effort import Effort
from schedules_app.recurrence import Recurrence, Slot

__all__ = [
    "Decided",
    "Decision",
    "Due",
    "FireState",
    "Misfire",
    "Overlap",
    "Pause",
    "Policy",
    "decide",
    "jitter",
    "next_due",
]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One row of the ledger."""

    slot: Slot
    #: The slot with its jitter.
    due_at: datetime
    state: FireState
    note: str = ""
    #: The decision stands for all slots from ``slot`` to this instant (those beyond the newest 100); else None.
    last_slot: datetime | None = None
    #: Cancel the tasks of the schedule that were open before this decision.
    cancel_open: bool = False

    @property
    def runs(self) -> bool:
        """Does it make a task?"""
        return self.state in (FireState.FIRED, FireState.LATE)


@dataclass(frozen=True, slots=True)
class Decided:
    """The outcome of a look at a schedule: decisions in the order of their slots, and when to look again."""

    decisions: tuple[Decision, ...]
    #: None: the schedule has ended. Its moment is the end of the blackout where a slot waits for that.
    next: Due | None


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is used again from one decision about a schedule to the next, where time goes on between them."""

    upcoming: Upcoming
    blackouts: Blackouts


def decide(
    schedule_id: UUID,
    recurrence: Recurrence,
    policy: Policy,
    *,
    first: datetime,
    now: datetime,
    pause: Pause | None = None,
    open_tasks: Sequence[Open] = (),
    ahead: Ahead | None = None,
) -> Decided:
    """Decide every slot from ``first`` (the stored next_slot, inclusive) that is due at ``now``.

    ``open_tasks``: tasks and batches of it that are open, oldest first. ``ahead``: of who decides again and again.
    Raises `TooCostly`.
    """
    window = ahead.upcoming.window(first, now) if ahead else look(recurrence, first, now)
    due, following = due_slots(schedule_id, policy.jitter, window, now)
    blackouts = ahead.blackouts if ahead else Blackouts(policy.calendars, Effort())
    decisions, candidates, waiting = _admit(due, blackouts, pause, now)
    runs = _choose_missed(candidates, policy, now, decisions)
    if (hold := _hold(runs, blackouts, now)) and hold.on_blackout is OnBlackout.RUN_AT_END:
        oldest = candidates[0].due
        decisions = [decision for decision in decisions if decision.slot.at < oldest.slot.at]
        runs, waiting = [], Due(oldest.slot, hold.until)
    elif hold:
        decisions += [run.becomes(FireState.SKIPPED_BLACKOUT, _in_blackout(hold)) for run in runs if run.missed]
        runs = [run for run in runs if not run.missed]
    decisions += _resolve_overlap(runs, policy.overlap, open_tasks)
    if window.older:
        decisions.append(_decide_older(window.older, policy.misfire, pause, merges=bool(candidates)))
    return Decided(tuple(sorted(decisions, key=lambda decision: decision.slot.at)), waiting or following)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A due slot that nothing keeps from running but its lateness and its fellows."""

    due: Due
    #: The blackout it waited for the end of.
    waited: Blackout | None = None
    missed: bool = False

    @property
    def since(self) -> datetime:
        """Since when it could run."""
        return self.waited.until if self.waited else self.due.at

    def becomes(self, state: FireState, note: str = "", *, cancel_open: bool = False) -> Decision:
        notes = (
            self.due.slot.note,
            f"waited for the end of blackout {self.waited.calendar}" if self.waited else "",
            note,
        )
        text = "; ".join(filter(None, notes))
        return Decision(slot=self.due.slot, due_at=self.due.at, state=state, note=text, cancel_open=cancel_open)


def _admit(
    due: Sequence[Due], blackouts: Blackouts, pause: Pause | None, now: datetime
) -> tuple[list[Decision], list[_Candidate], Due | None]:
    """Rules 1 to 3: what is skipped, what may run, and the slot that waits for the end of a blackout."""
    decisions: list[Decision] = []
    candidates: list[_Candidate] = []
    for each in due:
        if not each.slot.runs:
            decisions.append(_Candidate(each).becomes(FireState.SKIPPED_DST))
        elif pause and _paused(pause, each.slot.at, each.slot.at):
            decisions.append(_Candidate(each).becomes(FireState.SKIPPED_PAUSED))
        elif (blackout := blackouts.covering(each.at)) is None:
            candidates.append(_Candidate(each))
        elif blackout.on_blackout is OnBlackout.SKIP:
            decisions.append(_Candidate(each).becomes(FireState.SKIPPED_BLACKOUT, _in_blackout(blackout)))
        elif blackout.until > now:
            return decisions, candidates, Due(each.slot, blackout.until)
        else:
            if candidates and candidates[-1].waited and candidates[-1].since == blackout.until:
                decisions.append(candidates.pop().becomes(FireState.COALESCED, _into(each)))
            candidates.append(_Candidate(each, blackout))
    return decisions, candidates, None


def _choose_missed(
    candidates: Sequence[_Candidate], policy: Policy, now: datetime, decisions: list[Decision]
) -> list[_Candidate]:
    """Rules 4 and 5: the candidates that run; what becomes of the others is added to ``decisions``."""
    on_time = [each for each in candidates if now - each.since <= policy.grace]
    missed = [replace(each, missed=True) for each in candidates if now - each.since > policy.grace]
    match policy.misfire:
        case Misfire.SKIP:
            runs, state = 0, FireState.MISSED
        case Misfire.RUN_ONCE:
            runs, state = 0 if on_time else 1, FireState.COALESCED
        case Misfire.RUN_ALL:
            runs, state = policy.max_runs, FireState.MISSED
    chosen = missed[max(0, len(missed) - runs) :]
    note = _into(candidates[-1].due) if candidates and state is FireState.COALESCED else ""
    decisions += [each.becomes(state, note) for each in missed[: len(missed) - len(chosen)]]
    return chosen + on_time


def _hold(runs: Sequence[_Candidate], blackouts: Blackouts, now: datetime) -> Blackout | None:
    """The blackout that missed slots would run into."""
    return blackouts.covering(now) if any(run.missed for run in runs) else None


def _resolve_overlap(runs: Sequence[_Candidate], overlap: Overlap, open_tasks: Sequence[Open]) -> list[Decision]:
    """Rule 6, in the order of slots; what runs here counts as open for those after it."""
    match overlap:
        case Overlap.ALLOW:
            admitted = range(len(runs))
        case Overlap.SKIP:
            admitted = range(max(0, 1 - len(open_tasks)))
        case Overlap.QUEUE_ONE:
            admitted = range(max(0, 2 - len(open_tasks)))
        case Overlap.CANCEL_RUNNING:
            admitted = range(len(runs) - 1, len(runs))
    cancels = overlap is Overlap.CANCEL_RUNNING and bool(open_tasks)
    decisions = []
    for index, run in enumerate(runs):
        if index in admitted:
            late = run.missed or run.waited
            decisions.append(run.becomes(FireState.LATE if late else FireState.FIRED, cancel_open=cancels))
        else:
            decisions.append(run.becomes(FireState.SKIPPED_OVERLAP, _overlapped(runs, overlap, open_tasks)))
    return decisions


def _decide_older(older: tuple[Slot, Slot], misfire: Misfire, pause: Pause | None, *, merges: bool) -> Decision:
    """The slots that are too many to look at were missed, all of them. ``merges``: there is a newer one to run once."""
    first, last = older
    if pause and _paused(pause, first.at, last.at):
        state = FireState.SKIPPED_PAUSED
    else:
        state = FireState.COALESCED if misfire is Misfire.RUN_ONCE and merges else FireState.MISSED
    return Decision(slot=first, due_at=first.at, state=state, last_slot=last.at)


def _paused(pause: Pause, first: datetime, last: datetime) -> bool:
    return pause.until is None or (pause.since <= first and last < pause.until)


def _in_blackout(blackout: Blackout) -> str:
    return f"blackout {blackout.calendar} until {_utc(blackout.until)}"


def _into(due: Due) -> str:
    return f"into the slot {_utc(due.slot.at)}"


def _overlapped(runs: Sequence[_Candidate], overlap: Overlap, open_tasks: Sequence[Open]) -> str:
    if overlap is Overlap.CANCEL_RUNNING:
        return f"replaced by the slot {_utc(runs[-1].due.slot.at)}"
    if open_tasks:
        return f"{named(open_tasks[-1])} is open"
    return f"the slot {_utc(runs[0].due.slot.at)} runs"


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
