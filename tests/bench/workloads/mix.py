"""Mix: short tasks arriving among long ones must not wait behind them."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tasks_app.fields import NewTask
from tasks_app.services import create_task
from tests.bench.bench import Bench, Setting
from tests.bench.results import Options, Run, Workload
from tests.support.figures import spread_ms

SHORT_RATE, LONG_EVERY = 200, 25  # one long task to 25 short ones: 8 a second
SHORT = NewTask(type="DUMMY", correlation_id="short")
LONG = NewTask(type="DUMMY", correlation_id="long", payload={"sleepDurationMs": 5_000})
WARM_UP = 6
_DELAYS = """
SELECT extract(epoch FROM started_at - run_at)::float8 FROM tasks
 WHERE correlation_id = %s AND started_at IS NOT NULL AND run_at > %s"""
_WAITING = "SELECT count(*) FROM tasks WHERE started_at IS NULL AND run_at < now() - interval '1 s'"


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """Tasks of 5 s at 8/s and instant ones at 200/s for 60 s, on two workers of 32 slots: 40 of 64 are busy."""
    seconds = options.count(60, 6) + WARM_UP
    bench.fresh()
    with bench.workers(Setting(2, ("--concurrency", "32"))), bench.scheduler():
        time.sleep(1)
        measured_from = bench.one(bench.watch, "SELECT now() + make_interval(secs => %s)", [WARM_UP])
        began = time.monotonic()
        for number in range(SHORT_RATE * seconds):
            time.sleep(max(0.0, began + number / SHORT_RATE - time.monotonic()))
            create_task(SHORT, created_by="bench")
            if number % LONG_EVERY == 0:
                create_task(LONG, created_by="bench")
        lasted = time.monotonic() - began
        time.sleep(1.5)
        waiting = bench.one(bench.watch, _WAITING)
        short, long = (
            [row[0] for row in bench.watch.execute(_DELAYS, [kind, measured_from])] for kind in ("short", "long")
        )
    values = spread_ms(short, "short_") | spread_ms(long, "long_") | {"waiting": waiting}
    detail = {"short": len(short), "long": len(long), "arrivals_s": SHORT_RATE * seconds / lasted}
    yield Run("5 s at 8/s and instant at 200/s", values, detail)


WORKLOAD = Workload(
    "mix",
    "Short tasks among long ones",
    "Tasks of 5 s at 8/s and instant ones at 200/s for 60 s on two workers of 32 slots; milliseconds from due time to "
    "start. Goal: 99 % of the short ones within 300 ms.",
    {
        "short_p50": "short p50",
        "short_p95": "p95",
        "short_p99": "p99",
        "short_max": "max",
        "long_p50": "long p50",
        "long_p99": "p99",
        "waiting": "left waiting",
    },
    run,
)
