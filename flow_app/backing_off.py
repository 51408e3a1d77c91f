"""Targets that ask to be left alone: one 429 or 503 with Retry-After, and nobody calls the host until then.

The worker that was told so writes it down before it records the attempt. Passes see it (``look_at_targets``); what was
assigned before and has not started is taken back. What runs already goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

import psycopg
import structlog

from flow_app.assignment import hand_back_assigned
from tasks_app.sessions import Session

log = structlog.get_logger(__name__)

#: However long a host asks for: a typing error of its owner is not to stop its callers for ever.
LONGEST: Final = timedelta(hours=1)
#: Milliseconds that a worker waits for the pass: a frozen scheduler must not keep it from recording what it did.
WAITS: Final = 1000


def back_off_targets(session: Session, asked: Iterable[tuple[str, float]], *, actor: str) -> list[str]:
    """Let nobody call these hosts for so many seconds, an hour at most; return those of which that is news.

    Only hosts that have rules, and respect Retry-After. A transaction of its own, with the pass held where it can be
    had in time: then no pass that has not seen it can commit after it. Raises `DatabaseAway`.
    """
    longest: dict[str, float] = {}
    for host, seconds in asked:
        longest[host] = max(min(seconds, LONGEST.total_seconds()), longest.get(host, 0.0))
    if not longest or not _have_rules(session, list(longest)):
        return []
    try:
        with session.connection.transaction():
            _wait_for_pass(session)
            cursor = session.send("back_off_targets", {"hosts": list(longest), "seconds": list(longest.values())})
            hosts = [host for (host,) in cursor.fetchall()]
            for host in hosts:
                hand_back_assigned(session, target=host, actor=actor, reason="its target asked to be left alone")
    except psycopg.Error as error:
        session.fail(error)
    for host in hosts:
        log.warning("target_backing_off", target=host, seconds=longest[host])
    return hosts


def _have_rules(session: Session, hosts: list[str]) -> bool:
    return bool(session.fetch("SELECT FROM targets WHERE host = ANY(%s) AND respect_retry_after LIMIT 1", [hosts]))


def _wait_for_pass(session: Session) -> None:
    try:
        with session.connection.transaction():
            session.connection.execute("SELECT set_config('lock_timeout', %s, true)", [str(WAITS)])
            session.connection.execute("SELECT FROM scheduler_pass WHERE name = 'assign' FOR UPDATE")
    except psycopg.errors.LockNotAvailable:
        log.warning("pass_not_waited_for", milliseconds=WAITS)  # what it assigns meanwhile is called once more
