"""W2: how fast tasks are created: by the Python service, by bulk calls, and one call each."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench import fill
from tests.bench.bench import Bench
from tests.bench.client import request, serving
from tests.bench.load import at_rate, saturate
from tests.bench.results import Options, Run, Workload
from tests.support.figures import percentile

BULK = 5_000
THREADS = (1, 2, 4, 8, 16)


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """Only the web server runs. Half load follows the best rate found, open loop: a late answer delays no call."""
    bench.fresh()
    tasks = options.count(100_000, 10_000)
    yield Run("Python service, 5,000 at a time", {"tasks_s": tasks / fill.create(tasks)})
    bench.fresh()
    with serving(bench) as (port, key):
        bulk = request("POST", "/tasks/bulk", key, {"tasks": [{"type": "DUMMY"}] * BULK})
        for threads in (1, 2):
            rate, _ = saturate(port, bulk, threads=threads, count=tasks // BULK)
            case = f"`POST /tasks/bulk`, 5,000 a call, {threads} connection{'s' if threads > 1 else ''}"
            yield Run(case, {"tasks_s": rate * BULK})
        yield from _single(port, key, options)


def _single(port: int, key: str, options: Options) -> Iterator[Run]:
    one = request("POST", "/tasks", key, {"type": "DUMMY"})
    saturate(port, one, threads=8, count=100)  # warm up
    rates = {threads: saturate(port, one, threads=threads, count=options.count(2_000, 200))[0] for threads in THREADS}
    best = max(rates.values())
    seconds = options.count(10, 2)
    calls = at_rate(port, [one], rate=best / 2, count=int(best / 2 * seconds), threads=32)
    delays = [1000 * call.seconds for call in calls]
    values = {"tasks_s": best, "p50": percentile(delays, 0.5), "p99": percentile(delays, 0.99)}
    yield Run(f"`POST /tasks`, best of 1 to {THREADS[-1]} connections", values, {"by_connections": rates})


WORKLOAD = Workload(
    "w2",
    "Creation (W2)",
    "The service in one Python process; the API on gunicorn with the project's configuration, on loopback. Times of "
    "the last row are milliseconds at half the rate found, counted from when each call was due.",
    {"tasks_s": "tasks/s", "p50": "p50 ms at half", "p99": "p99 ms at half"},
    run,
)
