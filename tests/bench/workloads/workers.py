"""Workers: throughput by their number, and what each task costs the server."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.bench import fill
from tests.bench.bench import Bench, Setting
from tests.bench.drain import drain
from tests.bench.results import Options, Record, Run, Workload

EACH = ("--concurrency", "100")
_STATEMENTS = """
SELECT left(regexp_replace(query, '\\s+', ' ', 'g'), 90), calls, rows, total_exec_time, min_exec_time, max_exec_time,
       shared_blks_hit, wal_bytes::float8
  FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid
 WHERE d.datname = current_database() ORDER BY total_exec_time DESC"""


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """1, 2, 4, 8 and 16 workers of equal size on one backlog. Statements are timed by pg_stat_statements."""
    tasks = options.drain_tasks
    for workers in (1, 2) if options.quick else (1, 2, 4, 8, 16):
        bench.fresh(pg_stat_statements__track="top")
        fill.fill_waiting(bench, tasks)
        bench.settle()
        done = drain(bench, Setting(workers, EACH), tasks)
        statements = bench.watch.execute(_STATEMENTS).fetchall()
        server = sum(row[3] for row in statements)
        values = {
            "tasks_s": done.rate,
            "server_us": 1000 * server / tasks,
            "rss_mb": done.rss_mb,
            "pss_mb": done.pss_mb,
        }
        yield Run(str(workers), values, {"workers": workers, "cpu": done.cpu, "statements": statements[:12]})


def summarize(by_name: Mapping[str, list[Record]]) -> list[str]:
    """How the cost grows from 2 to 16 workers: what the server works, and how long its statements take."""
    elapsed = _growth(by_name["workers"], lambda run: run.values["server_us"])
    worked = _growth(by_name["workers"], _server_cpu)
    if elapsed is None or worked is None:
        return []
    return [
        f"With 16 workers each task costs the server {worked:.2f} times the processor time it costs with 2. Its "
        f"statements take {elapsed:.2f} times as long: 16 interpreters and their sessions wait for the same cores."
    ]


def _growth(records: Sequence[Record], cost: Callable[[Run], float]) -> float | None:
    costs = [[cost(record.run) for record in records if record.run.case == workers] for workers in ("2", "16")]
    return statistics.median(costs[1]) / statistics.median(costs[0]) if all(costs) else None


def _server_cpu(run: Run) -> float:
    return sum(seconds for name, seconds in run.detail["cpu"].items() if name.startswith("pg_"))


WORKLOAD = Workload(
    "workers",
    "Workers",
    f"Workers with `{' '.join(EACH)}` each, on one backlog. Server time: all statements of the engine, by "
    "pg_stat_statements.",
    {"tasks_s": "tasks/s", "server_us": "server µs per task", "rss_mb": "peak RSS MB", "pss_mb": "peak PSS MB"},
    run,
    summarize,
)
