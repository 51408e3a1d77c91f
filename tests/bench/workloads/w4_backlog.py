"""W4: does the rate hold, whatever else is in the table? Each case beside a drain of the same tasks alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from flow_app.queues import pause_queue
from tasks_app.fields import NewTask
from tasks_app.services import create_tasks
from tests.bench import fill
from tests.bench.bench import Bench
from tests.bench.drain import drain
from tests.bench.results import Options, Run, Workload

_HELD = "SELECT started_at FROM tasks WHERE concurrency_key = 'held' AND started_at IS NOT NULL"


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """The rate over the same number of tasks, from their first start; ``alone`` is measured in each repetition."""
    tasks, many, some = options.drain_tasks, options.count(1_000_000, 20_000), options.count(100_000, 2_000)
    alone = _measure(bench, options, tasks)
    yield Run(f"{tasks:,} alone", alone | {"ratio": 1.0}, {"queued": tasks})
    for queued in (10_000, 1_000) if not options.quick else (1_000,):
        yield Run(f"{queued:,} alone", _measure(bench, options, queued), {"queued": queued})
    cases: list[tuple[str, Any, dict[str, int]]] = [
        (f"{many:,} queued", partial(fill.fill_waiting, bench, many - tasks), {"queued": many}),
        (f"{many:,} future ones of the highest priority in front", partial(_future, bench, many), {}),
        (f"{some:,} of a paused queue", partial(_paused, bench, some), {}),
        (f"{some:,} behind one saturated concurrency key", partial(_key, bench, some), {}),
        (f"{many:,} ended ones in the table", partial(fill.fill_ended, bench, many), {}),
    ]
    for case, prepare, detail in cases:
        values = _measure(bench, options, tasks, prepare)
        yield Run(case, values | {"ratio": values["tasks_s"] / alone["tasks_s"]}, detail)


def _measure(bench: Bench, options: Options, tasks: int, prepare: Any = None) -> dict[str, float]:
    bench.fresh()
    behind = prepare is not None and prepare.func is fill.fill_waiting  # those are the tail of the same queue
    for step in (
        (partial(fill.fill_waiting, bench, tasks), prepare) if behind else (prepare, partial(_due, bench, tasks))
    ):
        if step is not None:
            step()
    bench.settle()
    done = drain(bench, options.setting, tasks, exact=False)
    values = {"tasks_s": done.rate}
    if held := bench.one(bench.watch, _HELD):
        values["before_s"] = (done.first_start - held).total_seconds()
    return values


def _due(bench: Bench, tasks: int) -> None:
    fill.fill_waiting(bench, tasks)


def _future(bench: Bench, count: int) -> None:
    fill.fill_waiting(bench, count, run_at=datetime.now(UTC) + timedelta(days=1), priority=100)


def _paused(bench: Bench, count: int) -> None:
    fill.fill_waiting(bench, count, queue="a-paused-one")
    pause_queue("a-paused-one", actor="bench")


def _key(bench: Bench, count: int) -> None:
    """One task that holds the key for ten minutes, and the others behind it, all in front of the measured ones."""
    payload = {"sleepDurationMs": 600_000}
    create_tasks([NewTask(type="DUMMY", payload=payload, concurrency_key="held", priority=1)], created_by="bench")
    fill.fill_waiting(bench, count, key="held")


WORKLOAD = Workload(
    "w4",
    "Backlog (W4)",
    "The rate over the same number of tasks, from their first start. Before: seconds from the start of the key's "
    "holder to the first other start, in which those behind it are parked.",
    {"tasks_s": "tasks/s", "ratio": "ratio to alone", "before_s": "before s"},
    run,
)
