"""What other sessions of the database do to assignment: a transaction left open, and many rows locked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.chaos.campaign.campaign import Campaign, Fault
from tests.chaos.campaign.findings import Findings
from tests.chaos.campaign.load import RATE
from tests.support.figures import percentile

HIGH_RATE = 500
BASE = 15.0
LOCKED_ROWS = 50_000
TIMES_BASE = 3.0

_WAITED = """
SELECT extract(epoch FROM assigned_at - due_at)::float8 FROM task_executions
 WHERE due_at >= to_timestamp(%s) AND due_at < to_timestamp(%s) AND attempt = 1"""
_LOCKED = """
INSERT INTO tasks (id, created_at, schedule_at, run_at, max_retries, timeout_ms, priority, type, correlation_id,
                   created_by)
SELECT gen_random_uuid(), now(), now(), now() + interval '15 s', 3, 300000, 100, 'DUMMY', 'locked', 'locker'
  FROM generate_series(1, %s)"""


def idle_transaction(campaign: Campaign, found: Findings) -> None:
    """One forgotten transaction with a snapshot: no dead row version can be removed while it lasts."""
    seconds = 600.0 if campaign.full else 30.0
    with _high_rate(campaign), psycopg.connect(campaign.installation.cluster.url) as forgotten:
        base = _measure(campaign, BASE)
        forgotten.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        forgotten.execute("SELECT count(*) FROM tasks")
        held = _measure(campaign, seconds)
        forgotten.rollback()
    _compare(found, base, held)


def locked_rows(campaign: Campaign, found: Findings) -> None:
    """Tasks of the highest priority, all locked by another session when they fall due."""
    with _high_rate(campaign), psycopg.connect(campaign.installation.cluster.url) as other:
        base = _measure(campaign, BASE)
        other.execute(_LOCKED, [LOCKED_ROWS])
        other.commit()
        other.execute("SELECT id FROM tasks WHERE created_by = 'locker' FOR UPDATE")
        due = "SELECT count(*) FROM tasks WHERE created_by = 'locker' AND run_at > now()"
        campaign.until(lambda: campaign.installation.ask_one(due) == 0, timeout=30)
        taken = campaign.installation.ask_one("SELECT count(*) FROM tasks WHERE created_by = 'locker' AND attempt > 0")
        found.expect(not taken, f"{taken} rows were started before they could be locked")
        held = _measure(campaign, BASE)
        other.execute("DELETE FROM tasks WHERE created_by = 'locker'")
    _compare(found, base, held)


@contextmanager
def _high_rate(campaign: Campaign) -> Iterator[None]:
    campaign.load.rate, campaign.load.plain = HIGH_RATE, True
    try:
        yield
    finally:
        campaign.load.rate, campaign.load.plain = RATE, False


def _measure(campaign: Campaign, seconds: float) -> list[float]:
    """Seconds from due to SCHEDULED of the tasks due in the next ``seconds``, without the first two."""
    since = time.time() + 2
    campaign.until(lambda: time.time() >= since + seconds, timeout=seconds + 5)
    due = "SELECT count(*) FROM tasks WHERE finished_at IS NULL AND run_at < to_timestamp(%s) AND created_by = 'chaos'"
    until = since + seconds
    campaign.until(lambda: campaign.installation.ask_one(due, until) == 0, timeout=60)
    return [row[0] for row in campaign.installation.ask(_WAITED, since, until)]


def _compare(found: Findings, base: list[float], held: list[float]) -> None:
    before, during = percentile(base, 0.99), percentile(held, 0.99)
    found.counts["tasks measured"] += len(base) + len(held)
    found.times["assigned p99, base"].append(before)
    found.times["assigned p99, held"].append(during)
    found.times["held / base"].append(during / before)
    text = f"due to SCHEDULED: p99 {1000 * during:.0f} ms, {during / before:.1f} times the base"
    found.expect(during <= TIMES_BASE * before, text)


FAULTS = [
    Fault(
        name="idle-transaction",
        title="a transaction left open (full: 10 min, short: 30 s) at 500 tasks/s",
        target="due → SCHEDULED p99 ≤ 3 times the base",
        inject=idle_transaction,
        full=1,
        short=1,
    ),
    Fault(
        name="locked-rows",
        title="50,000 due rows locked by another session at 500 tasks/s",
        target="due → SCHEDULED p99 ≤ 3 times the base",
        inject=locked_rows,
        full=1,
        short=1,
    ),
]
