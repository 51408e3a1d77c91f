"""What would happen: the rules run over a window that may hold outages. Pure; every task is taken to end at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final
from uuid import UUID

from access_app.refusals import InvalidInput
from schedules_app.calendars import Blackouts
from schedules_app.due import Upcoming
from schedules_app.effort import Effort, TooCostly
from schedules_app.firing_rules import Ahead, FireState, Policy, decide, next_due
from schedules_app.recurrence import YEARS, Recurrence

#: Most slots one simulation returns.
MOST_SLOTS: Final = 10_000
#: Most steps of one: enough for as many slots, far enough apart to be decided one by one.
MOST_STEPS: Final = 45 * MOST_SLOTS
#: Whose jitter is shown: another schedule has another.
_ANY: Final = UUID(int=0)


class InvalidSimulation(InvalidInput):
    """A window that cannot be simulated. ``problems`` maps a JSON field to one sentence."""


@dataclass(frozen=True, slots=True)
class Outage:
    """No scheduler runs from ``since`` to before ``until``."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class SimulatedSlot:
    """A row the ledger would get, at the moment ``at``; with ``last_slot`` it stands for all slots up to that one."""

    slot: datetime
    state: FireState
    at: datetime
    note: str
    last_slot: datetime | None


def simulate(
    recurrence: Recurrence, policy: Policy, *, since: datetime, until: datetime, outages: Sequence[Outage] = ()
) -> list[SimulatedSlot]:
    """Every slot from ``since`` to ``until`` with what becomes of it, in order. Raises `InvalidSimulation`."""
    check_window(since, until, outages)
    try:
        in_order = sorted(outages, key=lambda each: each.since)
        _check_number(_count_on_time(recurrence, since, until, in_order))
        return _simulate(recurrence, policy, since, until, in_order)
    except TooCostly:
        raise InvalidSimulation({"to": "the window takes too long to work out: make it smaller"}) from None


def _simulate(
    recurrence: Recurrence, policy: Policy, since: datetime, until: datetime, outages: Sequence[Outage]
) -> list[SimulatedSlot]:
    found: list[SimulatedSlot] = []
    effort = Effort(MOST_STEPS)
    ahead = Ahead(Upcoming(recurrence, effort, after=since - datetime.resolution), Blackouts(policy.calendars, effort))
    due = next_due(_ANY, recurrence, policy.jitter, after=since - datetime.resolution, effort=effort)
    # A slot that waits for the end of a blackout that has none waits for ever.
    while due is not None and due.slot.at <= until and due.at.year in YEARS:
        now = _up_again(due.at, outages)
        decided = decide(_ANY, recurrence, policy, first=due.slot.at, now=now, ahead=ahead)
        found += [
            SimulatedSlot(each.slot.at, each.state, now, each.note, each.last_slot)
            for each in decided.decisions
            if each.slot.at <= until
        ]
        _check_number(len(found))
        due = decided.next
    return found


def _count_on_time(recurrence: Recurrence, since: datetime, until: datetime, outages: Sequence[Outage]) -> int:
    """How many slots lie outside outages, up to one too many: counting is quicker than listing."""
    effort, number = Effort(MOST_STEPS), 0
    for begin, end in _between(since, until, outages):
        slots = recurrence.slots(begin - datetime.resolution, end - datetime.resolution, effort)
        number += sum(1 for _ in islice(slots, MOST_SLOTS + 1 - number))
    return number


def _between(since: datetime, until: datetime, outages: Sequence[Outage]) -> Iterator[tuple[datetime, datetime]]:
    """The stretches of a window in which schedulers run."""
    for outage in outages:
        if since < outage.since < until:
            yield since, outage.since
        since = max(since, outage.until)
    if since <= until:
        yield since, until + datetime.resolution


def _check_number(slots: int) -> None:
    if slots > MOST_SLOTS:
        raise InvalidSimulation({"to": f"the window holds more than {MOST_SLOTS:,} slots: make it smaller"})


def _up_again(at: datetime, outages: Sequence[Outage]) -> datetime:
    """The first moment from ``at`` on at which a scheduler runs; outages are in order."""
    for outage in outages:
        if outage.since <= at < outage.until:
            at = outage.until
    return at


def check_window(since: datetime, until: datetime, outages: Sequence[Outage]) -> None:
    """Raise `InvalidSimulation` naming what is wrong with a window."""
    named = {"from": since, "to": until}
    for index, outage in enumerate(outages):
        named |= {f"outages[{index}].from": outage.since, f"outages[{index}].to": outage.until}
    outside = f"must lie in the years {YEARS[0]} to {YEARS[-1]}"
    problems = {name: outside for name, at in named.items() if at.year not in YEARS}
    if until < since:
        problems.setdefault("to", "must not lie before from")
    for index, outage in enumerate(outages):
        if outage.until <= outage.since:
            problems.setdefault(f"outages[{index}].to", "must lie after from")
    if problems:
        raise InvalidSimulation(problems)
