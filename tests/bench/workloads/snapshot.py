"""Snapshot: one forgotten transaction keeps vacuum from removing dead rows; how long do passes look then?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg

from access_app.sql import statement
from tests.bench import fill
from tests.bench.bench import Bench
from tests.bench.drain import drain
from tests.bench.results import Options, Run, Workload
from tests.support.figures import percentile

_FIRST_LINE = statement("lock_candidates").partition("\n")[0].partition("%")[0]
_LOCK = re.compile(rb"duration: ([0-9.]+) ms  execute [^:]*: " + re.escape(_FIRST_LINE).encode())


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """300,000 tasks, without and with a snapshot held from before the first; durations are from the server's log."""
    tasks, alone = options.count(300_000, 8_000), 0.0
    for held in (False, True):
        bench.fresh(log_min_duration_statement="0", log_parameter_max_length="0")
        fill.fill_waiting(bench, tasks)
        bench.settle()
        log = bench.cluster.server.log_file
        offset = log.stat().st_size
        with ExitStack() as stack:
            if held:
                holder = stack.enter_context(psycopg.connect(bench.url))
                holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                holder.execute("SELECT count(*) FROM worker_heartbeats")
            rate = drain(bench, options.setting, tasks).rate
        with log.open("rb") as file:
            file.seek(offset)
            passes = [float(found[1]) for line in file if (found := _LOCK.search(line))]
        p99 = percentile(passes, 0.99)
        alone = alone or p99
        tail = passes[-max(1, len(passes) // 10) :]
        values = {
            "tasks_s": rate,
            "p50": percentile(passes, 0.5),
            "p99": p99,
            "tail_p50": percentile(tail, 0.5),
            "ratio": p99 / alone,
        }
        yield Run("with a held snapshot" if held else "without", values, {"passes": len(passes)})


WORKLOAD = Workload(
    "snapshot",
    "A held snapshot",
    "A drain of 300,000 tasks while one transaction holds a snapshot from before; milliseconds of the statement that "
    "locks what is due, by the server's log (which slows the drain: compare these rates with one another only).",
    {
        "tasks_s": "tasks/s",
        "p50": "assign p50 ms",
        "p99": "p99",
        "tail_p50": "p50 of the last tenth",
        "ratio": "ratio of p99",
    },
    run,
)
