"""Soak: a steady load with retention keeping up; rate, delays and sizes must stay where they are."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping

from tasks_app.fields import NewTask
from tasks_app.services import create_tasks
from tests.bench.bench import Bench
from tests.bench.drain import ended
from tests.bench.results import Options, Record, Run, Workload
from tests.support.figures import slope

RATE, BATCH, MINUTE = 1_000, 100, 60
RETENTION = {"RETENTION_SUCCESS_DAYS": "0.0007"}  # one minute
_DELAYS = """
SELECT percentile_disc(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY 1000 * extract(epoch FROM started_at - due_at)::float8)
  FROM task_executions WHERE id > %s"""
_SIZES = """
SELECT pg_table_size('tasks') / 1048576.0, pg_indexes_size('tasks') / 1048576.0,
       pg_total_relation_size('task_executions') / 1048576.0, reltuples
  FROM pg_class WHERE oid = 'tasks'::regclass"""
COLUMNS = {
    "tasks_s": "tasks/s",
    "p50": "start delay p50 ms",
    "p99": "p99",
    "tasks_mb": "tasks MB",
    "indexes_mb": "its indexes MB",
    "history_mb": "executions MB",
}


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """1,000 tasks/s for ten minutes; a line each minute, its rate the median of its seconds."""
    bench.fresh()
    with bench.workers(options.setting, **RETENTION), bench.scheduler(**RETENTION):
        time.sleep(1)
        began = time.monotonic()
        for minute in range(options.count(options.minutes or 10, 1)):
            before = ended(bench)
            rates = list(_one_minute(bench, began + minute * MINUTE, options.count(MINUTE, 5)))
            (delays,) = bench.watch.execute(_DELAYS, [before]).fetchone() or ([0.0, 0.0],)
            sizes = [float(size) for size in bench.watch.execute(_SIZES).fetchone() or ()]
            figures = [statistics.median(rates), *delays, *sizes[:3]]
            yield Run(f"minute {minute + 1}", dict(zip(COLUMNS, figures, strict=True)), {"live_rows": sizes[3]})


def _one_minute(bench: Bench, began: float, seconds: int) -> Iterator[float]:
    """Create on time; answers the tasks that ended in each second."""
    batch = [NewTask(type="DUMMY")] * BATCH
    seen, since = ended(bench), time.monotonic()
    for number in range(seconds * RATE // BATCH):
        time.sleep(max(0.0, began + number * BATCH / RATE - time.monotonic()))
        create_tasks(batch, created_by="bench")
        if (number + 1) * BATCH % RATE == 0:
            now, at = ended(bench), time.monotonic()
            yield (now - seen) / (at - since)
            seen, since = now, at


def summarize(by_name: Mapping[str, list[Record]]) -> list[str]:
    """Slopes over the minutes; sizes from the fourth on, when retention has begun to delete as much as is added."""
    records = by_name["soak"]
    rates = [record.run.values["tasks_s"] for record in records]
    later = [record.run.values["tasks_mb"] + record.run.values["indexes_mb"] for record in records][3:]
    text = f"Slope of the rate: {100 * slope(rates):+.2f} % a minute"
    return [text + (f"; of table and indexes from minute 4 on: {100 * slope(later):+.2f} %." if later else ".")]


WORKLOAD = Workload(
    "soak",
    "Soak",
    "1,000 tasks/s, created in batches of 100, with retention of one minute.",
    COLUMNS,
    run,
    summarize,
    once=True,
    on_request=True,
)
