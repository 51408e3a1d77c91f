"""What may be read about schedules: the ledger, what they will do, how they are, and why one does not fire.

Reads only, and bounded. What *would* happen, with outages, is ``simulation``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby, islice
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet

from access_app.sql import database_now
from flow_app import queues
from schedules_app import calendars, simulation
from schedules_app.batch_templates import queues_in
from schedules_app.calendars import Calendar, OnBlackout, parse_calendar
from schedules_app.effort import Effort, TooCostly
from schedules_app.firing_rules import FireState, Misfire, Overlap, Policy
from schedules_app.models import BlackoutCalendar, Schedule, ScheduleFire
from schedules_app.new_schedules import InvalidSchedule, NewSchedule, check_schedule
from schedules_app.outcomes import failed_in_a_row, open_batches
from schedules_app.recurrence import Recurrence, Slot, parse
from schedules_app.simulation import Outage, SimulatedSlot
from schedules_app.stored import StoredSchedule
from tasks_app.reasons import Reason
from tasks_app.selectors import open_tasks

MAX_PREVIEW: Final = 100
#: Of the queues of a batch, so many are looked at.
_MOST_QUEUES: Final = 20
#: A schedule due for longer has nobody who fires it.
OVERDUE: Final = timedelta(seconds=30)


class Health(StrEnum):
    """How a schedule is, in one word for a list."""

    OK = "ok"
    DISABLED = "disabled"
    PAUSED = "paused"
    ENDED = "ended"
    #: The newest slots did not run, because a task of an earlier one is still open.
    OVERLAPPING = "overlapping"
    #: The newest slot was missed, or ran late.
    LATE = "late"
    #: It is due, and no scheduler fires it.
    OVERDUE = "overdue"
    #: It could not be decided, and is looked at again later.
    PUT_OFF = "put_off"
    #: Its newest task that ended failed: that it fires says nothing about whether its work is done.
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Condition:
    """How a schedule is, and how many of its newest tasks failed one after the other."""

    health: Health
    failures: int = 0


@dataclass(frozen=True, slots=True)
class PreviewFire:
    """One slot to come. ``local`` carries the zone's offset; ``note``: DST_GAP, DST_FOLD, or the blackout it is in."""

    at: datetime
    local: datetime
    note: str


def fires(
    schedule_id: UUID, *, states: Sequence[str] = (), since: datetime | None = None, until: datetime | None = None
) -> QuerySet[ScheduleFire]:
    """The ledger of a schedule, also of one that was deleted, newest slot first; ``until`` is not included."""
    found = ScheduleFire.objects.filter(schedule_id=schedule_id).order_by("-slot")
    if states:
        found = found.filter(state__in=states)
    if since is not None:
        found = found.filter(reaching(since))
    return found if until is None else found.filter(slot__lt=until)


def enabled() -> QuerySet[Schedule]:
    """Schedules that have a next time, the soonest first. Index: schedules_due."""
    return Schedule.objects.filter(next_fire_at__isnull=False).order_by("next_fire_at")


def running() -> QuerySet[Schedule]:
    """Those of them that are not paused."""
    return enabled().exclude(paused_at__isnull=False, resumed_at__isnull=True)


def overdue(now: datetime) -> QuerySet[Schedule]:
    """Those that should have fired a while ago."""
    return enabled().filter(next_fire_at__lt=now - OVERDUE)


def reaching(since: datetime) -> Q:
    """Rows about slots from an instant on: also one that begins before, and stands for many. Index: fires_runs."""
    return Q(slot__gte=since) | Q(last_slot__gte=since)


def preview(schedule: Schedule, *, count: int = 20) -> list[PreviewFire]:
    """The next slots of a stored schedule, also of one that is paused or disabled."""
    stored = StoredSchedule.of(schedule, database_now())
    return preview_of(stored.recurrence(), after=stored.now, count=count, blackouts=calendars_of(schedule.calendars))


def preview_of(
    recurrence: Recurrence, *, after: datetime, count: int = 20, blackouts: Sequence[Calendar] = ()
) -> list[PreviewFire]:
    """The next slots of a recurrence: also of a schedule that is not stored yet.

    Fewer where they are so rare that looking for more is too costly. Raises `TooCostly` when there is none to show.
    """
    effort = Effort()
    known = calendars.Blackouts(blackouts, effort)
    found: list[PreviewFire] = []
    try:
        for slot in islice(recurrence.slots(after, effort=effort), min(count, MAX_PREVIEW)):
            found.append(PreviewFire(slot.at, slot.at.astimezone(recurrence.zone.info), _note(slot, known)))
    except TooCostly:
        if not found:
            raise
    return found


def calendars_of(names: Sequence[str]) -> tuple[Calendar, ...]:
    """The calendars of these names that exist, as rules know them."""
    found = BlackoutCalendar.objects.filter(pk__in=list(names)).order_by("pk")
    return tuple(parse_calendar(each.name, each.timezone, each.on_blackout, each.ranges) for each in found)


def simulate(
    new: NewSchedule, *, since: datetime, until: datetime, outages: Sequence[Outage] = ()
) -> list[SimulatedSlot]:
    """What would become of the slots of a schedule from ``since`` to ``until`` if no scheduler ran in the outages.

    Raises `InvalidSchedule`, `InvalidSimulation`.
    """
    simulation.check_window(since, until, outages)
    check_schedule(new, now=since)
    blackouts = calendars_of(new.calendars)
    if missing := set(new.calendars) - {calendar.name for calendar in blackouts}:
        raise InvalidSchedule({"calendars": f"there is no calendar {', '.join(sorted(missing))}"})
    stored = new.definition(created_at=since)
    policy = Policy(
        jitter=timedelta(seconds=new.jitter_seconds),
        misfire=Misfire(new.misfire_policy),
        max_runs=new.misfire_max_runs,
        grace=timedelta(seconds=new.misfire_grace_seconds),
        overlap=Overlap(new.overlap),
        calendars=blackouts,
    )
    return simulation.simulate(parse(stored), policy, since=since, until=until, outages=outages)


def conditions_of(schedules: Sequence[Schedule]) -> dict[UUID, Condition]:
    """How each schedule of a page is: three queries for all."""
    ids = [schedule.pk for schedule in schedules]
    now, newest, failures = database_now(), newest_fires(ids, limit=1), failed_in_a_row(ids)
    states = {schedule_id: rows[0].state for schedule_id, rows in newest.items()}
    return {
        each.pk: Condition(_health(each, states.get(each.pk), failures[each.pk], now), failures[each.pk])
        for each in schedules
    }


def newest_fires(schedule_ids: Sequence[UUID], *, limit: int) -> dict[UUID, list[ScheduleFire]]:
    """The newest rows of the ledger of each schedule that has some, newest first. Index: fires_slot.

    Not the ORM: DISTINCT ON or a window would read the whole ledger of every schedule.
    """
    found = ScheduleFire.objects.raw(
        "SELECT f.* FROM unnest(%s::uuid[]) AS s(id) CROSS JOIN LATERAL"
        " (SELECT * FROM schedule_fires WHERE schedule_id = s.id ORDER BY slot DESC LIMIT %s) AS f"
        " ORDER BY f.schedule_id, f.slot DESC",
        [list(schedule_ids), limit],
    )
    return {schedule_id: list(rows) for schedule_id, rows in groupby(found, lambda fire: fire.schedule_id)}


def why(schedule: Schedule) -> list[Reason]:
    """Every reason why a schedule makes no task now; empty for one that does so this moment."""
    now = database_now()
    if not schedule.enabled:
        return [Reason("DISABLED", "it is switched off")]
    if schedule.next_slot is None:
        return [Reason("ENDED", _ended(schedule, now))]
    return [
        *_pauses(schedule),
        *_times(schedule, now),
        *_blackouts(schedule, now),
        *_overlaps(schedule),
        *_surroundings(schedule),
    ]


def _health(schedule: Schedule, newest: str | None, failures: int, now: datetime) -> Health:
    if not schedule.enabled:
        return Health.DISABLED
    if schedule.put_offs:
        return Health.PUT_OFF
    if schedule.next_fire_at is not None and not schedule.paused and schedule.next_fire_at < now - OVERDUE:
        return Health.OVERDUE
    if failures:
        return Health.FAILING
    if schedule.paused:
        return Health.PAUSED
    if schedule.next_fire_at is None:
        return Health.ENDED
    if newest == FireState.SKIPPED_OVERLAP:
        return Health.OVERLAPPING
    return Health.LATE if newest in (FireState.LATE, FireState.MISSED, FireState.COALESCED) else Health.OK


def _note(slot: Slot, blackouts: calendars.Blackouts) -> str:
    blackout = blackouts.covering(slot.at)
    if blackout is None:
        return slot.note
    what = "skipped" if blackout.on_blackout is OnBlackout.SKIP else "runs at its end"
    return "; ".join(filter(None, [slot.note, f"blackout {blackout.calendar}: {what}"]))


def _ended(schedule: Schedule, now: datetime) -> str:
    over = schedule.end_at is not None and schedule.end_at <= now
    return "it has passed its endAt" if over else "no time of it is left"


def _pauses(schedule: Schedule) -> list[Reason]:
    if not schedule.paused:
        return []
    because = f": {schedule.pause_reason}" if schedule.pause_reason else ""
    return [Reason("PAUSED", f"paused by {schedule.paused_by} at {schedule.paused_at:%Y-%m-%d %H:%M} UTC{because}")]


def _times(schedule: Schedule, now: datetime) -> list[Reason]:
    if schedule.start_at is not None and schedule.start_at > now:
        return [Reason("NOT_STARTED", "its startAt is in the future", schedule.start_at)]
    if schedule.put_offs:
        how_often = "once" if schedule.put_offs == 1 else f"{schedule.put_offs} times in a row"
        detail = f"it could not be decided, {how_often}: {schedule.put_off_reason}"
        return [Reason("PUT_OFF", detail, schedule.next_fire_at)]
    if schedule.next_fire_at is not None and schedule.next_fire_at > now:
        return [Reason("NOT_DUE", "its next time is in the future", schedule.next_fire_at)]
    return []


def _blackouts(schedule: Schedule, now: datetime) -> list[Reason]:
    blackout = calendars.covering(calendars_of(schedule.calendars), now)
    if blackout is None:
        return []
    return [Reason("IN_BLACKOUT", f"calendar {blackout.calendar} keeps it from running", blackout.until)]


def _overlaps(schedule: Schedule) -> list[Reason]:
    most = {Overlap.SKIP: 1, Overlap.QUEUE_ONE: 2}.get(Overlap(schedule.overlap))
    if most is None:
        return []
    found = [
        f"task {each.pk} has not ended: it is {each.status}" for each in open_tasks(schedule.pk).only("status")[:most]
    ]
    found += [f"batch {batch_id} is not done" for batch_id in open_batches(schedule.pk)[:most]]
    return [Reason("OVERLAP", found[0])] if len(found) >= most else []


def _surroundings(schedule: Schedule) -> list[Reason]:
    reasons = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM scheduler_heartbeats WHERE stopped_at IS NULL"
            " AND last_heartbeat_at > now() - make_interval(secs => %s))",
            [settings.SCHEDULER.heartbeat_timeout.total_seconds()],
        )
        [alive] = cursor.fetchone()
    if not alive:
        reasons.append(Reason("NO_LIVE_SCHEDULER", "no scheduler is alive to fire it"))
    names = queues_in(schedule.batch or {"tasks": [schedule.task]})
    for name in names[:_MOST_QUEUES]:
        if queue := queues.pause_of(name):
            reasons.append(Reason("QUEUE_PAUSED", f"its tasks wait: queue {name} is paused", queue.paused_until))
    return reasons
