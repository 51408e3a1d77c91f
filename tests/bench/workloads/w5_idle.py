"""W5: what an installation costs that has nothing to do."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.bench.bench import DATABASE, Bench, Setting
from tests.bench.results import Options, Run, Workload
from tests.support.processes import cpu_of_family, memory_of_family

_TRANSACTIONS = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s"
_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
_STATEMENTS = """
SELECT left(query, 60), calls FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid
 WHERE d.datname = current_database() ORDER BY calls DESC LIMIT 10"""


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """One scheduler and one worker at their defaults. The harness looks from another database, so it is not counted.

    A session reports its transactions up to a second late, and autovacuum's are among them.
    """
    seconds = options.count(30, 8)
    bench.fresh(pg_stat_statements__track="top")
    with bench.workers(Setting(1, ())) as [guardian], bench.scheduler() as scheduler:
        time.sleep(5 if not options.quick else 3)
        bench.watch.execute("SELECT pg_stat_statements_reset()")
        bench.disconnect()
        pids = guardian.pid, scheduler.pid
        time.sleep(1.5)
        before, cpu = bench.one(bench.admin, _TRANSACTIONS, [DATABASE]), sum(map(cpu_of_family, pids))
        began = time.monotonic()
        time.sleep(seconds)
        after, cpu_after = bench.one(bench.admin, _TRANSACTIONS, [DATABASE]), sum(map(cpu_of_family, pids))
        elapsed = time.monotonic() - began
        connections = bench.one(bench.admin, _CONNECTIONS, [DATABASE])
        rss, pss = map(sum, zip(*map(memory_of_family, pids), strict=True))
        statements = bench.watch.execute(_STATEMENTS).fetchall()
    values = {
        "xacts_s": (after - before) / elapsed,
        "connections": connections,
        "cpu_ms_s": 1000 * (cpu_after - cpu) / elapsed,
        "rss_mb": rss,
        "pss_mb": pss,
    }
    yield Run("scheduler + worker", values, {"seconds": elapsed, "statements": statements})


WORKLOAD = Workload(
    "w5",
    "Idle (W5)",
    "One scheduler and one worker at their default settings for 30 s with nothing to do.",
    {
        "xacts_s": "transactions/s",
        "connections": "connections",
        "cpu_ms_s": "CPU ms a second",
        "rss_mb": "RSS MB",
        "pss_mb": "PSS MB",
    },
    run,
)
