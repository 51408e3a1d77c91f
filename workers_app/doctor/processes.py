"""What should run, and what it needs: schedulers, schedules, workers, keys that go on, a sandbox that works here."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import Final

from django.conf import settings

from schedules_app.selectors import OVERDUE
from tasks_app.executors import shell_sandbox
from tasks_app.executors.shell import ShellExecutor
from tasks_app.sessions import Session
from workers_app.doctor.finding import Finding

#: A key that was used this lately, and ends this soon, is reported.
KEY_IN_USE: Final = timedelta(days=30)
KEY_ENDS_SOON: Final = timedelta(days=7)


def check_schedulers(session: Session) -> Finding:
    [(alive,)] = session.fetch(
        "SELECT count(*) FROM scheduler_heartbeats"
        " WHERE stopped_at IS NULL AND last_heartbeat_at > now() - make_interval(secs => %s)",
        [settings.SCHEDULER.heartbeat_timeout.total_seconds()],
    )
    return Finding("schedulers", alive > 0, f"{alive} alive", "start `python manage.py runscheduler`")


def check_schedules(session: Session) -> Finding:
    [(enabled, overdue, seconds, put_off)] = session.fetch(
        "SELECT count(*), count(*) FILTER (WHERE next_fire_at < now() - make_interval(secs => %s)),"
        " coalesce(extract(epoch FROM now() - min(next_fire_at)), 0)::float8, count(*) FILTER (WHERE put_offs > 0)"
        " FROM schedules WHERE next_fire_at IS NOT NULL",
        [OVERDUE.total_seconds()],
    )
    detail = f"{enabled} enabled, {overdue} overdue" + (f" for up to {seconds:.0f} s" if overdue else "")
    if put_off:
        detail += f", {put_off} put off"
    advice = "start `python manage.py runscheduler`; when one runs, look in its log for schedule_not_decided"
    if put_off and not overdue:
        advice = "ask `why` of those that the list in the admin shows as put off, and edit them"
    return Finding("schedules", not overdue and not put_off, detail, advice)


def check_api_keys(session: Session) -> Finding:
    """Whoever calls with a key that ends calls in vain, and may notice late: an expiry is the default."""
    rows = session.fetch(
        "SELECT name FROM api_keys WHERE revoked_at IS NULL AND last_used_at > now() - %s"
        " AND expires_at BETWEEN now() AND now() + %s ORDER BY expires_at LIMIT 10",
        [KEY_IN_USE, KEY_ENDS_SOON],
    )
    names = ", ".join(name for (name,) in rows)
    detail = (
        f"in use and about to expire: {names}" if names else f"none in use expires within {KEY_ENDS_SOON.days} days"
    )
    return Finding(
        "api keys", not names, detail, "make new keys (`createapikey`), move the callers over, revoke the old"
    )


def check_workers(session: Session) -> Finding:
    [(alive, slots)] = session.fetch(
        "SELECT count(*), coalesce(sum(slots), 0) FROM worker_heartbeats WHERE state = 'ACTIVE'"
    )
    return Finding("workers", alive > 0, f"{alive} active with {slots} slots", "start `python manage.py runworker`")


def check_sandbox(_: Session) -> Finding:
    """Of this host: workers run elsewhere ask it of theirs."""
    config = settings.SCHEDULER
    if not config.shell_tasks_enabled:
        return Finding("sandbox", True, "SHELL tasks are off here")
    with closing(ShellExecutor()) as executor:
        why = shell_sandbox.problem(config, executor)
    detail = f"SHELL_SANDBOX={config.shell_sandbox}" + (f": {why}" if why else " works here")
    advice = "mend that, or choose a level that this host can do: no worker starts here"
    return Finding("sandbox", not why, detail, advice)
