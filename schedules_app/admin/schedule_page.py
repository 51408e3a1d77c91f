"""What the page of one schedule shows: how it is and why, what it will do, its ledger, its definition, its history.

Bounded whatever the schedule has been through. Its times are shown on the clock of its zone, with the offset.
"""

from __future__ import annotations

import calendar
import json
from datetime import datetime, timedelta
from typing import Any, Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from access_app import audit
from access_app.models import AuditEvent
from access_app.sql import database_now
from access_app.staff import display
from access_app.staff.outputs import masked, pretty
from schedules_app import selectors
from schedules_app.admin import ledger, times
from schedules_app.admin.next_fires import known_calendars, next_fires
from schedules_app.admin.shown import Shown
from schedules_app.batch_templates import queues_in
from schedules_app.effort import TooCostly
from schedules_app.firing_rules import FireState
from schedules_app.models import BlackoutCalendar, Schedule
from schedules_app.outcomes import MOST_LOOKED_AT
from schedules_app.recurrence import InvalidRecurrence, Recurrence
from schedules_app.selectors import Condition, Health
from schedules_app.stored import StoredSchedule
from schedules_app.zones import Zone, zone
from tasks_app.admin.task_page import FACTS, fact_of

MOST_EVENTS: Final = 20
_DAY: Final = timedelta(days=1)
_POLICIES: Final = {
    "run_once": "run once for all of them",
    "skip": "do not run",
    "run_all": "run each, the newest {} at most",
}
_OVERLAPS: Final = {
    "skip": "skip the slot",
    "allow": "run beside it",
    "queue_one": "run after it (one waits)",
    "cancel_running": "cancel it and run",
}


def context_of(schedule: Schedule, shown: Shown) -> dict[str, Any]:
    """Everything the page of a schedule shows that its row does not say by itself."""
    now = database_now()
    recurrence, broken = recurrence_of(schedule, now)
    coming, changes, costly = _times(schedule, recurrence, now)
    clock = recurrence.zone if recurrence else zone("UTC")
    condition, noun = selectors.conditions_of([schedule])[schedule.pk], "batch" if schedule.task is None else "task"
    return {
        "badge": display.badge(state_of(schedule)),
        "health": health_badge(condition, noun, fresh=schedule.last_fire_at is None),
        "failures": failures_of(condition, noun),
        "broken": broken or costly,
        "explanation": recurrence.explain() if recurrence else "",
        "reasons": reasons_of(schedule, now),
        "next_times": coming,
        "clock_changes": changes,
        "stats": stats_of(schedule, recurrence, now),
        "facts": facts_of(schedule),
        "payload": pretty(schedule.batch if schedule.task is None else schedule.task.get("payload", {})),
        "task_facts": task_facts_of(schedule),
        "events": events_of(schedule),
        "schedule_zone": clock.name,
        "paused_since": display.exact(schedule.paused_at),
        "pause_reason": display.words(schedule.pause_reason),
        "clone_name": f"{schedule.name[:95]}-copy",
        **ledger_of(schedule, recurrence, clock, shown, now),
    }


def health_badge(condition: Condition, noun: str, *, fresh: bool) -> SafeString | str:
    """The health; nothing where the state beside it says it already, or nothing has happened yet."""
    silent = {Health.DISABLED, Health.PAUSED, Health.ENDED} | ({Health.OK} if fresh else set())
    if condition.health in silent:
        return ""
    return format_html(
        '<span title="{}">{}</span>', failures_of(condition, noun), display.badge(condition.health.upper())
    )


def failures_of(condition: Condition, noun: str) -> str:
    """How its newest tasks, or batches, failed, as a sentence."""
    if not (count := condition.failures):
        return ""
    most = "at least " if count == MOST_LOOKED_AT else ""
    return f"Its latest {noun} failed." if count == 1 else f"Its latest {most}{count} {plural_of(noun)} failed."


def plural_of(noun: str) -> str:
    """Of what a slot makes."""
    return f"{noun}es" if noun == "batch" else f"{noun}s"


def recurrence_of(schedule: Schedule, now: datetime) -> tuple[Recurrence | None, str]:
    """The recurrence; or None, and why: this host's zones or parsers may not be those it was stored under."""
    try:
        return StoredSchedule.of(schedule, now).recurrence(), ""
    except InvalidRecurrence as error:
        return None, str(error)


def state_of(schedule: Schedule) -> str:
    """ACTIVE, or the first reason why not."""
    if not schedule.enabled:
        return "DISABLED"
    if schedule.next_slot is None:
        return "ENDED"
    return "PAUSED" if schedule.paused else "ACTIVE"


def expression_of(schedule: Schedule) -> str:
    """The recurrence as it was written."""
    if schedule.interval_seconds is not None:
        return f"every {schedule.interval_seconds:,} s"
    return schedule.cron if schedule.cron is not None else schedule.rrule or ""


def reasons_of(schedule: Schedule, now: datetime) -> list[tuple[str, SafeString, str]]:
    """Why it makes no task now, when there is more to it than that its time is to come: code, sentence, until when."""
    reasons = [reason for reason in selectors.why(schedule) if reason.code != "NOT_DUE"]
    return [
        (
            reason.code,
            display.with_links(reason.detail),
            f"until {display.exact(reason.until)}" if reason.until and reason.until > now else "",
        )
        for reason in reasons
    ]


def stats_of(schedule: Schedule, recurrence: Recurrence | None, now: datetime) -> list[tuple[str, Any, str]]:
    """The two instants everybody looks for: name, distance, exact."""
    coming = next_fires([schedule], now)[schedule.pk] if schedule.next_fire_at else "none"
    shown = None if schedule.paused else schedule.next_fire_at
    last = schedule.last_fire_at
    return [
        ("Next fire", coming, times.local_text(shown, recurrence) if shown else ""),
        ("Last fire", display.past(last, now) if last else "none", times.local_text(last, recurrence) if last else ""),
    ]


def facts_of(schedule: Schedule) -> list[tuple[str, SafeString | str]]:
    """The definition, in the words of the form."""
    policy = _POLICIES.get(schedule.misfire_policy, schedule.misfire_policy).format(schedule.misfire_max_runs)
    gap = {"run_after": "run right after the jump", "skip": "skip it"}.get(schedule.dst_gap, schedule.dst_gap)
    fold = {"once": "run the first time only", "twice": "run both times"}.get(schedule.dst_fold, schedule.dst_fold)
    return [
        ("Expression", expression_of(schedule)),
        ("Time zone", schedule.timezone),
        ("Start", display.exact(schedule.start_at) if schedule.start_at else "at once"),
        ("End", display.exact(schedule.end_at) if schedule.end_at else "never"),
        ("Jitter", f"{schedule.jitter_seconds} s" if schedule.jitter_seconds else "none"),
        ("Missed slots", policy),
        ("Grace", f"{schedule.misfire_grace_seconds} s"),
        ("Last task not ended", _OVERLAPS.get(schedule.overlap, schedule.overlap)),
        ("Clock jumps over a time", gap),
        ("Clock shows a time twice", fold),
        ("Blackout calendars", _calendar_links(schedule.calendars) if schedule.calendars else "none"),
        *([("Callback", display.words(json.dumps(masked(schedule.callback))))] if schedule.callback else []),
        ("Created", display.exact(schedule.created_at)),
        ("Created by", schedule.created_by),
        ("Version", str(schedule.version)),
    ]


def task_facts_of(schedule: Schedule) -> list[tuple[str, SafeString | str]]:
    """The template but for its payload; what it leaves to the defaults is left out."""
    if schedule.task is None:
        batch: dict[str, Any] = schedule.batch or {}
        size, queues = len(batch["tasks"]), ", ".join(queues_in(batch))
        return [("Name", batch["name"]), ("Tasks", f"{size:,}"), ("Queues", queues)]
    task: dict[str, Any] = schedule.task
    chosen = [(row, task.get(row.name)) for row in FACTS if row.template]
    return [(row.label, fact_of(row, value)) for row, value in chosen if value not in (None, "")]


def events_of(schedule: Schedule) -> list[AuditEvent]:
    """What people did to it, newest first. Index: audit_target."""
    events = list(audit.about(f"schedule:{schedule.name}").filter(at__gte=schedule.created_at)[:MOST_EVENTS])
    for event in events:
        event.reason = display.words(event.reason)
    return events


def ledger_of(
    schedule: Schedule, recurrence: Recurrence | None, clock: Zone, shown: Shown, now: datetime
) -> dict[str, Any]:
    """The calendar strip and the table, with the addresses of their other parts."""
    days = ledger.strip(schedule.pk, clock, now=now, end=shown.end, chosen=shown.day)
    since = ledger.start_of(shown.day, clock) if shown.day else None
    until = ledger.start_of(shown.day + _DAY, clock) if shown.day else None
    until = min((at for at in (until, shown.before) if at is not None), default=None)
    states = [shown.state] if shown.state else []
    rows, more = (
        ([], False) if shown.unclear else ledger.table(schedule.pk, recurrence, states=states, since=since, until=until)
    )
    weeks = [days[n : n + 7] for n in range(0, len(days), 7)]
    later = days[-1].day + _DAY * 7 * ledger.WEEKS
    newest = any(day.is_today or day.is_future for day in days)
    return {
        "shown": shown,
        "weeks": [[(day, shown.address(day=day.day, before=None)) for day in week] for week in weeks],
        "legend": ledger.legend(),
        "earlier": shown.address(end=days[0].day - _DAY, day=None, before=None),
        "later": "" if newest else shown.address(end=later, day=None, before=None),
        "rows": rows,
        "older": shown.address(before=rows[-1].fire.slot) if more else "",
        "weekdays": calendar.day_name,
        "states": [(state.replace("_", " "), shown.address(state=state, before=None)) for state in FireState],
        "chosen_state": shown.state.replace("_", " "),
        "any_state": shown.address(state="", before=None),
        "everything": Shown(filters=shown.filters).address() if shown != Shown(filters=shown.filters) else "",
    }


def _times(
    schedule: Schedule, recurrence: Recurrence | None, now: datetime
) -> tuple[list[times.Time], list[times.Time], str]:
    """The next slots, those that changes of the clock touch; or why there are none to show."""
    if recurrence is None:
        return [], [], ""
    try:
        known = list(known_calendars(schedule.calendars).values())
        coming = times.next_times(recurrence, after=now, blackouts=known)
        changes = times.clock_changes(recurrence, after=now) if schedule.enabled else []
    except TooCostly as error:
        return [], [], str(error)
    return coming, changes, ""


def _calendar_links(names: list[str]) -> SafeString:
    links = [display.link(display.page_url(BlackoutCalendar(pk=name)), name) for name in names]
    return format_html_join(", ", "{}", ((link,) for link in links))
