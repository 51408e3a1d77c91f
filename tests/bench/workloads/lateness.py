"""Lateness: how long after their time tasks start that were created ahead; a few each second, and very many at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from tasks_app.fields import NewTask
from tasks_app.services import create_tasks
from tests.bench import fill
from tests.bench.bench import Bench, wait_for
from tests.bench.client import request, serving
from tests.bench.drain import ended
from tests.bench.load import Background, at_rate
from tests.bench.results import Options, Run, Workload
from tests.support.figures import percentile, spread_ms

API_RATE = 20
_A_SCHEDULER = "SELECT EXISTS (SELECT FROM scheduler_heartbeats)"
_LATE = "SELECT extract(epoch FROM started_at - due_at)::float8 FROM task_executions"
_FIRST = "SELECT extract(epoch FROM min(started_at) - min(due_at))::float8 FROM task_executions"
_DEAD = "SELECT count(*) FROM worker_heartbeats WHERE state = 'DEAD'"


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """First 1,000 tasks spread over 20 s, then 100,000 due at one instant while the API is asked 20 times a second."""
    yield _spread(bench, options)
    yield _at_once(bench, options)


def _spread(bench: Bench, options: Options) -> Run:
    count, seconds = options.count(1_000, 200), options.count(20, 4)
    bench.fresh()
    with bench.workers(options.setting) as guardians, bench.scheduler() as scheduler:
        programs = [*guardians, scheduler]
        wait_for(lambda: bench.watch.execute(_A_SCHEDULER).fetchone() == (True,), 30, programs)
        first, step = datetime.now(UTC) + timedelta(seconds=3), timedelta(seconds=seconds / count)
        tasks = [NewTask(type="DUMMY", schedule_at=first + i * step) for i in range(count)]
        create_tasks(tasks, created_by="bench")
        wait_for(lambda: ended(bench) == count, seconds + 30, programs)
        late = [row[0] for row in bench.watch.execute(_LATE)]
    if min(late) < 0:
        raise RuntimeError("a task started before its time")
    return Run(f"{count:,} over {seconds} s", spread_ms(late))


def _at_once(bench: Bench, options: Options) -> Run:
    count = options.count(100_000, 4_000)
    bench.fresh()
    with bench.workers(options.setting) as guardians, bench.scheduler() as scheduler, serving(bench) as (port, key):
        post = request("POST", "/tasks", key, {"type": "DUMMY", "scheduleAt": "2999-01-01T00:00:00Z"})
        calls = [post, request("GET", "/tasks?size=20", key)]
        at_rate(port, calls, rate=100, count=32, threads=16)  # warm up
        due = datetime.now(UTC) + timedelta(seconds=8 + count / 10_000)
        fill.fill_waiting(bench, count, run_at=due)
        bench.settle()
        if datetime.now(UTC) > due:
            raise RuntimeError("they fell due before all were stored")
        time.sleep(max(0.0, due.timestamp() - time.time()))
        seconds = options.count(20, 4)
        asking = Background(lambda: at_rate(port, calls, rate=API_RATE, count=API_RATE * seconds, threads=16))
        asking.start()
        wait_for(lambda: ended(bench) == count, 120, [*guardians, scheduler])
        drained = time.time()
        api = [1000 * call.seconds for call in asking.result() if call.due < drained]
        first, dead = bench.one(bench.watch, _FIRST), bench.one(bench.watch, _DEAD)
    values = {
        "first": 1000 * first,
        "drain_s": drained - due.timestamp(),
        "api_p50": percentile(api, 0.5),
        "api_p99": percentile(api, 0.99),
        "dead": dead,
    }
    return Run(f"{count:,} at one instant", values, {"api_calls": len(api)})


WORKLOAD = Workload(
    "lateness",
    "Lateness",
    "Tasks created ahead; milliseconds from due time to start, both by the database's clock. API: `POST /tasks` and "
    "`GET /tasks` in turn, 20 a second, while the tasks that fell due at one instant are worked off.",
    {
        "p50": "late p50",
        "p99": "p99",
        "max": "max",
        "first": "first start ms",
        "drain_s": "all ended s",
        "api_p50": "API p50 ms",
        "api_p99": "API p99 ms",
        "dead": "workers marked DEAD",
    },
    run,
)
