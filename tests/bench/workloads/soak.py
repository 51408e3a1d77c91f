"""Soak: a steady load with retention keeping up; rate, delays, sizes and vacuums must stay where they are."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from tasks_app.fields import NewTask
from tasks_app.services import create_tasks
from tests.bench import fill
from tests.bench.bench import Bench
from tests.bench.results import Options, Record, Run, Workload
from tests.support.figures import slope

RATE, BATCH, MINUTE = 1_000, 100, 60
DAY = 86_400
_PACE = """
WITH ended AS (SELECT started_at - run_at AS delay, finished_at FROM tasks WHERE finished_at >= %(since)s),
     seconds AS (SELECT count(*) AS count FROM ended GROUP BY floor(extract(epoch FROM finished_at - %(since)s)))
SELECT (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY count) FROM seconds)::float8, delays[1], delays[2]
  FROM (SELECT percentile_disc(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY 1000 * extract(epoch FROM delay)::float8)
               AS delays FROM ended) AS spread"""
_SIZES = """
SELECT pg_table_size('tasks') / 1048576.0, pg_indexes_size('tasks') / 1048576.0,
       pg_total_relation_size('task_executions') / 1048576.0"""
# total_autovacuum_time is of PostgreSQL 18.
_TABLES = """
SELECT relname, n_dead_tup, n_tup_del, autovacuum_count,
       coalesce((to_jsonb(s) ->> 'total_autovacuum_time')::float8, 0)
  FROM pg_stat_user_tables s WHERE relname IN ('tasks', 'task_executions')"""
_DELETES = """
SELECT coalesce(sum(total_exec_time), 0)::float8 FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid
 WHERE d.datname = current_database() AND query LIKE '%DELETE FROM tasks%'"""
COLUMNS = {
    "tasks_s": "tasks/s",
    "p50": "start delay p50 ms",
    "p99": "p99",
    "tasks_mb": "tasks MB",
    "indexes_mb": "its indexes MB",
    "history_mb": "executions MB",
    "deleted": "deleted",
    "delete_us": "deletes, server µs a task",
    "dead": "dead rows in tasks",
    "dead_history": "in executions",
    "vacuums": "autovacuums",
    "vacuum_s": "their seconds",
}


@dataclass(frozen=True, slots=True)
class Kept:
    """What the server has counted of both tables."""

    dead: float
    dead_history: float
    deleted: float
    vacuums: float
    vacuum_ms: float
    delete_ms: float

    @classmethod
    def read(cls, bench: Bench) -> Self:
        tables = {row[0]: row[1:] for row in bench.watch.execute(_TABLES)}
        tasks, history = tables["tasks"], tables["task_executions"]
        vacuums, spent = (tasks[n] + history[n] for n in (2, 3))
        return cls(tasks[0], history[0], tasks[1], vacuums, spent, bench.one(bench.watch, _DELETES))

    def since(self, before: Self) -> dict[str, float]:
        deleted = self.deleted - before.deleted
        return {
            "deleted": deleted,
            "delete_us": 1000 * (self.delete_ms - before.delete_ms) / max(deleted, 1),
            "dead": self.dead,
            "dead_history": self.dead_history,
            "vacuums": self.vacuums - before.vacuums,
            "vacuum_s": (self.vacuum_ms - before.vacuum_ms) / 1000,
        }


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """1,000 tasks/s for ten minutes; a line each minute, its rate the median of its seconds.

    With ``--tasks N`` so many ended tasks are there before, as 1,000/s would have left them, and retention lets as many
    go each second as come.
    """
    standing, began = options.tasks or 0, time.monotonic()
    bench.fresh(pg_stat_statements__track="top")
    if standing:
        fill.fill_history(bench, standing, per_second=RATE)
        bench.settle()
    age = max(MINUTE, standing / RATE + time.monotonic() - began)
    retention = {"RETENTION_SUCCESS_DAYS": f"{age / DAY:.9f}"}
    with bench.workers(options.setting, **retention), bench.scheduler(**retention):
        time.sleep(1)
        began, before = time.monotonic(), Kept.read(bench)
        for minute in range(options.count(options.minutes or 10, 1)):
            since = bench.one(bench.watch, "SELECT now()")
            _one_minute(began + minute * MINUTE, options.count(MINUTE, 5))
            kept = Kept.read(bench)
            values = dict(zip(COLUMNS, _sizes(bench, since), strict=False)) | kept.since(before)
            before = kept
            yield Run(f"minute {minute + 1}", values, {"standing": standing})


def _sizes(bench: Bench, since: Any) -> list[float]:
    [pace], [sizes] = bench.watch.execute(_PACE, {"since": since}).fetchall(), bench.watch.execute(_SIZES).fetchall()
    return [float(figure or 0) for figure in (*pace, *sizes)]


def _one_minute(began: float, seconds: int) -> None:
    """Create on time."""
    batch = [NewTask(type="DUMMY")] * BATCH
    for number in range(seconds * RATE // BATCH):
        time.sleep(max(0.0, began + number * BATCH / RATE - time.monotonic()))
        create_tasks(batch, created_by="bench")


def summarize(by_name: Mapping[str, list[Record]]) -> list[str]:
    """Slopes over the minutes; sizes from the fourth on, when retention has begun to delete as much as is added."""
    records = by_name["soak"]
    rates = [record.run.values["tasks_s"] for record in records]
    later = [record.run.values["tasks_mb"] + record.run.values["indexes_mb"] for record in records][3:]
    text = f"Slope of the rate: {100 * slope(rates):+.2f} % a minute"
    standing = f"{records[0].run.detail['standing']:,} ended tasks were there before. " if records else ""
    return [
        standing + text + (f"; of table and indexes from minute 4 on: {100 * slope(later):+.2f} %." if later else ".")
    ]


WORKLOAD = Workload(
    "soak",
    "Soak",
    "1,000 tasks/s, created in batches of 100; retention deletes as many as come, once a minute.",
    COLUMNS,
    run,
    summarize,
    once=True,
    on_request=True,
)
