"""Dependencies: how soon a task is let through when those it waits for have ended; what an edge costs the server."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

from access_app.ids import new_task_ids
from tasks_app.fields import NewTask
from tasks_app.services import create_tasks
from tests.bench.bench import Bench, Setting, wait_for
from tests.bench.drain import drain
from tests.bench.results import Options, Run, Workload
from tests.support.figures import spread_ms

#: What depends on others waits for its time, too: what is measured is when it was let through, not when it ran.
LATER: Final = timedelta(hours=1)
#: Edges of one child.
EACH: Final = 1000
#: The statements of a round, by words that only they have.
_ROUND_MS = """
SELECT coalesce(sum(total_exec_time), 0)::float8 FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid
 WHERE d.datname = current_database() AND (query LIKE '%task_edges%' OR query LIKE '%has_dependents%')
   AND query NOT LIKE '%scheduler_heartbeats%' AND query NOT LIKE '%task_executions%'"""
_LAST_END = "SELECT extract(epoch FROM max(finished_at))::float8 FROM tasks"
_WAITING = "SELECT count(*) FROM tasks WHERE gate = 2 AND gate > 1 AND worker_id IS NULL AND finished_at IS NULL"
_LINKS = """
SELECT extract(epoch FROM x.started_at - lag(x.finished_at) OVER (ORDER BY x.started_at))::float8 * 1000
  FROM task_executions x ORDER BY x.started_at OFFSET 10"""


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """10,000 that wait for one, ten that wait for 1,000 each, a chain of 1,000, a drain of tasks with dependents."""
    count = options.count(10_000, 2_000)
    setting = Setting(1, ("--concurrency", "400"))
    yield Run(f"fan-out of {count:,}", _fan(bench, setting, parents=1, children=count))
    yield Run(f"fan-in by {count:,} edges", _fan(bench, setting, parents=EACH, children=count // EACH))
    yield Run("chain of 1,000", _chain(bench, options.count(1000, 200)))
    for name, parents in (("plain", False), ("each with a dependent", True)):
        bench.fresh()
        tasks = options.count(40_000, 4_000)
        _fill(tasks, parents=parents)
        bench.settle()
        yield Run(f"drain, {name}", {"tasks_s": drain(bench, options.setting, tasks, exact=False).rate})


def _fan(bench: Bench, setting: Setting, *, parents: int, children: int) -> dict[str, float]:
    bench.fresh(pg_stat_statements__track="top")
    with bench.workers(setting) as guardians, bench.scheduler() as scheduler:
        bench.watch.execute("SELECT pg_stat_statements_reset()")
        names = [str(task_id) for task_id in create_tasks([_soon()] * parents, created_by="bench")]
        create_tasks([_child(names)] * children, created_by="bench")
        made = bench.one(bench.watch, _ROUND_MS)
        wait_for(lambda: not bench.one(bench.watch, _WAITING), 120, [*guardians, scheduler], interval=0.002)
        seen = time.time()
        opened = (seen - bench.one(bench.watch, _LAST_END)) * 1000
        return {"open_ms": opened, "edge_us": (bench.one(bench.watch, _ROUND_MS) - made) / (parents * children) * 1000}


def _chain(bench: Bench, count: int) -> dict[str, float]:
    bench.fresh()
    ids = new_task_ids(count)
    links = [NewTask(type="DUMMY")] + [NewTask(type="DUMMY", depends_on=[str(task_id)]) for task_id in ids[:-1]]
    with bench.workers(Setting(1, ())) as guardians, bench.scheduler() as scheduler:
        create_tasks(links, ids=ids, created_by="bench")
        left = partial(bench.one, bench.watch, "SELECT count(*) FROM tasks WHERE finished_at IS NULL")
        wait_for(lambda: not left(), 120, [*guardians, scheduler])
    return spread_ms((row[0] / 1000 for row in bench.watch.execute(_LINKS)), "link_")


def _fill(tasks: int, *, parents: bool) -> None:
    ids: Sequence[UUID] = create_tasks([NewTask(type="DUMMY")] * tasks, created_by="bench")
    for start in range(0, tasks if parents else 0, EACH):
        names = [str(task_id) for task_id in ids[start : start + EACH]]
        create_tasks([_child(names)], created_by="bench")


def _soon() -> NewTask:
    """Due when its dependents are there."""
    return NewTask(type="DUMMY", schedule_at=datetime.now(UTC) + timedelta(seconds=8))


def _child(parents: Sequence[str]) -> NewTask:
    return NewTask(type="DUMMY", depends_on=parents, schedule_at=datetime.now(UTC) + LATER)


WORKLOAD = Workload(
    "dependencies",
    "Dependencies",
    "From the last end of those that tasks wait for until all of these were seen to be let through; the server's time "
    "of rounds for each edge; a link of a chain: from one end to the next start.",
    {
        "open_ms": "let through ms",
        "edge_us": "server µs an edge",
        "link_p50": "a link p50 ms",
        "link_p99": "p99",
        "tasks_s": "tasks/s",
    },
    run,
)
