"""The drain that most workloads are made of: tasks wait, the engine starts, the clock runs until they have ended."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from tests.bench.bench import Bench, Setting, wait_for
from tests.support.processes import PeakMemory, Program, cpu_of, cpu_of_family

# Each ended attempt takes one number, and reading it costs nothing however many rows there are.
_ENDED = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM task_executions_id_seq"
# The predicates of tasks_owned, tasks_due and tasks_suspects; no task here needs anything of its worker.
_UNFINISHED = """
WITH waiting AS (
  SELECT crash_count, needs_id FROM tasks WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0)
SELECT EXISTS (SELECT FROM tasks WHERE worker_id IS NOT NULL AND finished_at IS NULL)
    OR EXISTS (SELECT FROM waiting WHERE crash_count = 0 AND needs_id IS NULL)
    OR EXISTS (SELECT FROM waiting WHERE crash_count > 0)"""
_FIRST_START = "SELECT min(started_at) FROM task_executions WHERE id > %s"
_WAL = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8"
# A change of a row leaves a dead version behind; HOT: without a new entry in any index.
_CHANGES = "SELECT sum(n_tup_upd + n_tup_del)::float8, sum(n_tup_hot_upd)::float8 FROM pg_stat_user_tables"
_BACKENDS = "SELECT pid, application_name FROM pg_stat_activity WHERE application_name LIKE 'task_scheduler %'"
#: Connections by what they do, for the table of CPU seconds.
ROLES = {
    "task_scheduler scheduler": "pg_assign",
    "task_scheduler worker": "pg_start",
    "task_scheduler recorder": "pg_finish",
}


@dataclass(frozen=True, slots=True)
class Drain:
    """``rate``: tasks a second from the first start to the end. ``cpu``: seconds by process over the same time.

    ``written``: what each task had the server write, from before the processes came until after they had gone: bytes of
    the log, dead row versions, changes that no index had to know of.
    """

    tasks: int
    rate: float
    seconds: float
    first_start: datetime
    rss_mb: float
    pss_mb: float
    cpu: dict[str, float]
    written: dict[str, float]


def ended(bench: Bench) -> int:
    return int(bench.one(bench.watch, _ENDED))


def drain(bench: Bench, setting: Setting, tasks: int, *, exact: bool = True, limit: float = 300) -> Drain:
    """Start the workers, then a scheduler; measure until ``tasks`` have ended.

    ``exact``: there are no others, so the end is when the tables say that none is left. Raises RuntimeError when
    nothing ends for ``limit`` seconds.
    """
    before, wrote = ended(bench), _written(bench)
    with bench.workers(setting) as guardians, bench.scheduler() as scheduler:
        memory = PeakMemory([guardian.pid for guardian in guardians])
        _wait_for_ended(bench, before + 1, [*guardians, scheduler], limit)
        costs = _cpu(bench, guardians, scheduler)
        _wait_for_ended(bench, before + tasks, [*guardians, scheduler], limit, memory)
        if exact:
            wait_for(lambda: not bench.one(bench.watch, _UNFINISHED), limit, [*guardians, scheduler], interval=0.002)
        done = time.time()
        memory.look()
        used = {name: value - costs.get(name, 0.0) for name, value in _cpu(bench, guardians, scheduler).items()}
        first = bench.one(bench.watch, _FIRST_START, [before])  # now: a task that holds a key ends with its worker
    seconds = done - first.timestamp()
    written = {name: (value - wrote[name]) / tasks for name, value in _written(bench).items()}
    return Drain(tasks, tasks / seconds, seconds, first, memory.rss, memory.pss, used, written)


def _written(bench: Bench) -> dict[str, float]:
    """So far. Sessions say what they changed when they end, at the latest."""
    dead, hot = bench.watch.execute(_CHANGES).fetchone() or (0.0, 0.0)
    return {"wal_bytes": bench.one(bench.watch, _WAL), "dead": dead, "hot": hot}


def _wait_for_ended(
    bench: Bench, number: int, programs: list[Program], limit: float, memory: PeakMemory | None = None
) -> None:
    seen, since = -1, time.monotonic()
    while (now := ended(bench)) < number:
        if now != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since > limit:
            raise RuntimeError(f"nothing has ended for {limit:g} s; {number - now} tasks to go")
        for program in programs:
            program.check()
        if memory is not None:
            memory.look()
        time.sleep(0.004)


def _cpu(bench: Bench, guardians: list[Program], scheduler: Program) -> dict[str, float]:
    """CPU seconds so far: the two kinds of processes, their database connections, the rest of the server."""
    used = dict.fromkeys(("pg_assign", "pg_start", "pg_finish", "pg_other"), 0.0)
    used["scheduler"] = cpu_of_family(scheduler.pid)
    used["worker"] = sum(cpu_of_family(guardian.pid) for guardian in guardians)
    for pid, name in bench.watch.execute(_BACKENDS):
        if name in ROLES:
            used[ROLES[name]] += cpu_of(pid)
    used["pg_other"] = cpu_of_family(bench.server_pid) - used["pg_assign"] - used["pg_start"] - used["pg_finish"]
    return used
