"""One fault after the other on one installation under load; after each the oracles are asked."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from uuid import UUID

import psutil
import psycopg
from django.db import DatabaseError

from access_app.database_faults import DatabaseAway
from tests.chaos.campaign.effects import runs_of
from tests.chaos.campaign.findings import Findings
from tests.chaos.campaign.installation import Incarnation, Installation
from tests.chaos.campaign.load import RATE, Load
from tests.chaos.campaign.oracles import AttemptRow, Settled, TaskRow, check
from tests.support.waiting import eventually
from workers_app import invariants

#: Seconds in which no descendant of a killed or ended task may be left.
DESCENDANTS_GONE = 5.0
#: Errors of a repetition that are findings; all others end the campaign.
_FINDINGS = (AssertionError, DatabaseAway, DatabaseError, psycopg.Error, psutil.Error, subprocess.TimeoutExpired)

_UNFINISHED = "SELECT count(*) FROM tasks WHERE finished_at IS NULL"
_SUSPECTS = "SELECT count(*) FROM tasks WHERE finished_at IS NULL AND crash_count > 0"
_TASKS = """
SELECT id, status, end_reason, attempt, retry_count, crash_count FROM tasks
 WHERE created_at >= to_timestamp(%s) AND created_by = 'chaos'"""
_ATTEMPTS = """
SELECT x.task_id, x.attempt, x.worker_id, x.status, x.late IS NOT NULL FROM task_executions x
  JOIN tasks t ON t.id = x.task_id
 WHERE t.created_at >= to_timestamp(%s) AND t.created_by = 'chaos'"""
_LOST = """
SELECT extract(epoch FROM lost.finished_at)::float8, extract(epoch FROM next.started_at)::float8
  FROM task_executions lost
  LEFT JOIN task_executions next ON next.task_id = lost.task_id AND next.attempt = lost.attempt + 1
 WHERE lost.worker_id = %s AND lost.status = 'LOST'"""
_ENDED = """
SELECT count(*) FROM task_executions WHERE finished_at >= to_timestamp(%s) AND finished_at < to_timestamp(%s)
   AND task_status = 'SUCCESS'"""
_STARTS = """
SELECT extract(epoch FROM started_at)::float8 FROM task_executions
 WHERE started_at >= to_timestamp(%s) AND started_at < to_timestamp(%s) ORDER BY started_at"""


@dataclass(frozen=True, slots=True)
class Limit:
    """A time that ``share`` of all measured values must not exceed, in seconds."""

    share: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """``inject`` does it once and says what it saw; ``full`` and ``short`` are how often it is done."""

    name: str
    title: str
    target: str
    inject: Callable[[Campaign, Findings], None]
    full: int
    short: int
    limits: Mapping[str, Limit] = field(default_factory=dict)
    schedulers: int = 2
    workers: int = 3
    environment: Mapping[str, str] = field(default_factory=dict)


class Campaign:
    """What a fault may use: the installation, the load, chance, and measurements that several faults share."""

    def __init__(
        self,
        installation: Installation,
        load: Load,
        chance: random.Random,
        *,
        full: bool,
        seconds: float | None = None,
    ) -> None:
        self.installation = installation
        self.load = load
        self.chance = chance
        self.full = full
        #: How long a fault lasts that is many blows.
        self.seconds = seconds or (1200.0 if full else 60.0)
        self.struck: set[UUID] = set()
        self.frozen: dict[int, float] = {}
        self.began = time.time()

    def run(self, fault: Fault, times: int) -> Iterator[tuple[int, Findings]]:
        """Each repetition as (1, what it saw); in the end (0, what all of them left behind)."""
        self.installation.arrange(schedulers=fault.schedulers, workers=fault.workers, environment=fault.environment)
        self.struck.clear()
        self.frozen.clear()
        self.installation.effects.read()
        self.began = time.time() - 0.5  # ids are made before their tasks are stored
        self.load.take_accepted()
        self.load.resume()
        for _ in range(times):
            found = Findings()
            with _kept(found):
                self.steady()
                fault.inject(self, found)
            with _kept(found):
                self._heal(found)
                self._check_invariants(found)
            yield 1, found
        self.load.pause()
        found = Findings()
        with _kept(found):
            self._settle(found)
        yield 0, found

    # Waiting

    def steady(self) -> None:
        """Wait until the last fault is over: all workers work, and what they lost has run again."""
        self.installation.heal()
        eventually(lambda: self.installation.ask_one(_SUSPECTS) == 0, timeout=60, interval=0.1)
        since = time.time()
        eventually(lambda: len(self.starts(since, time.time())) >= RATE / 10, timeout=30, interval=0.1)

    def until(self, condition: Callable[[], object], timeout: float) -> float:
        """Wait for a fact, and return when it was so."""
        eventually(condition, timeout=timeout, interval=0.01)
        return time.time()

    # Measuring

    def starts(self, since: float, until: float) -> list[float]:
        """When attempts that have ended were started."""
        return [row[0] for row in self.installation.ask(_STARTS, since, until)]

    def longest_gap(self, since: float, until: float) -> float:
        """The longest time without a start."""
        times = [since, *self.starts(since, until), until]
        return max(later - earlier for earlier, later in pairwise(times))

    def share_of_rate(self, since: float, until: float) -> float:
        """Tasks that succeeded as a share of those created meanwhile."""
        [(ended,)] = self.installation.ask(_ENDED, since, until)
        return float(ended) / max(1, self.load.accepted_between(since, until))

    def running_on(self, incarnation: Incarnation) -> int:
        """The RUNNING rows of a worker."""
        query = "SELECT count(*) FROM tasks WHERE worker_id = %s AND finished_at IS NULL AND status = 'RUNNING'"
        return int(self.installation.ask_one(query, incarnation.worker_id))

    def strike(self, *incarnations: Incarnation) -> None:
        """These may lose tasks: a fault is aimed at them."""
        self.struck |= {incarnation.worker_id for incarnation in incarnations}

    def watch_death(
        self, found: Findings, incarnation: Incarnation, at: float, children: list[psutil.Process], within: float
    ) -> None:
        """Measure from a fault at ``at``: descendants gone, marked DEAD, tasks moved on, running again."""
        gone = self.until(lambda: not any(_alive(child) for child in children), timeout=within + DESCENDANTS_GONE)
        found.times["descendants gone"].append(gone - at)
        found.expect(gone - at <= within + DESCENDANTS_GONE, f"descendants lived for {gone - at:.1f} s")
        owned = "SELECT count(*) FROM tasks WHERE worker_id = %s AND finished_at IS NULL"
        self.until(lambda: self.installation.ask_one(owned, incarnation.worker_id) == 0, timeout=within + 30)
        eventually(lambda: self.installation.ask_one(_SUSPECTS) == 0, timeout=60, interval=0.1)
        lost = self.installation.ask(_LOST, incarnation.worker_id)
        found.counts["RUNNING rows"] += len(lost)
        found.times["moved on"] += [moved - at for moved, _ in lost]
        again = [started - at for _, started in lost if started is not None]
        found.times["each again"] += again
        if again:
            found.times["running again"].append(min(again))

    # Looking

    def _heal(self, found: Findings) -> None:
        self.installation.heal()
        found.violations += self.installation.unasked
        self.installation.unasked.clear()

    def _check_invariants(self, found: Findings) -> None:
        session = self.installation.session
        eventually(lambda: self.installation.ask("SELECT 1"))
        found.violations += [f"{count} x not: {name}" for name, count in invariants.violations(session).items()]

    def _settle(self, found: Findings) -> None:
        """Wait until every task has ended, and hold tasks, history and the log outside against each other."""
        self._heal(found)
        eventually(lambda: self.installation.ask_one(_UNFINISHED) == 0, timeout=120, interval=0.1)
        self.until(lambda: not self.installation.task_processes(), timeout=DESCENDANTS_GONE)
        self._check_invariants(found)
        found.add(check(self._settled()))

    def _settled(self) -> Settled:
        tasks = [TaskRow(*row) for row in self.installation.ask(_TASKS, self.began)]
        return Settled(
            self.load.take_accepted(),
            {task.task_id: task for task in tasks},
            [AttemptRow(*row) for row in self.installation.ask(_ATTEMPTS, self.began)],
            runs_of(self.installation.effects.read(), self.frozen),
            frozenset(self.struck),
        )


@contextmanager
def _kept(found: Findings) -> Iterator[None]:
    """What goes wrong is a finding, and the campaign goes on."""
    try:
        yield
    except _FINDINGS as error:
        found.violations.append(f"{type(error).__name__}: {error}".strip())


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def tally(violations: list[str]) -> Counter[str]:
    """How often each kind of violation occurred: what stands before the colon."""
    return Counter(text.partition(":")[0] for text in violations)


def describe(found: Findings) -> dict[str, Any]:
    """Short figures for the terminal: of times the longest, in seconds."""
    times = {name: f"{max(values):.2f}" for name, values in found.times.items() if values}
    return times | dict(found.counts)
