"""Bulk operations: a million tasks cancelled at a rate, stopped half way and resumed, while others are picked up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from tasks_app import acting
from tasks_app.acts import BulkAction, OperationState
from tasks_app.api.operation_filters import rows_of
from tasks_app.models import BulkOperation
from tasks_app.tickets import Ask
from tests.bench.bench import Bench, Setting, wait_for
from tests.bench.executors import read_marks
from tests.bench.fill import fill_waiting
from tests.bench.results import Options, Run, Workload
from tests.bench.workloads.w3_pickup import EVERY, by_service
from tests.support.figures import spread_ms

RATE: Final = 20_000
ASK: Final = Ask(BulkAction.CANCEL, {"queue": "many", "status": ["PENDING"]})
_CANCELLED = "SELECT count(*) FROM tasks WHERE queue = 'many' AND status = 'CANCELLED' AND unsuccessful"
_EVENTS = "SELECT count(DISTINCT task_id) FROM audit_events WHERE action = 'task.cancelled' AND actor = 'bench'"


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """The dry run, a pick-up without and with the operation, and its counts, which must be exact."""
    count = options.tasks or options.count(1_000_000, 20_000)
    bench.fresh()
    fill_waiting(bench, count, queue="many", run_at=datetime.now(UTC) + timedelta(days=1))
    bench.settle()
    with bench.workers(Setting(1, ())) as guardians, bench.scheduler() as scheduler, by_service(bench) as make:
        time.sleep(3)  # until it is idle
        checked = (*guardians, scheduler)
        before = _picked_up(bench, make, lambda: True, options.count(500, 100))
        began = time.monotonic()
        token = acting.try_out(ASK, rows_of(ASK.filter)).token
        counted = time.monotonic() - began
        row, _ = acting.begin(ASK, token, actor="bench", barred=(), rate=RATE)
        began = time.monotonic()
        half = partial(_done, row.pk, count // 2)
        first = _picked_up(bench, make, lambda: not half())
        acting.stop(row.pk, actor="bench")
        stopped = acting.operation_of(row.pk).done
        time.sleep(1)
        if acting.operation_of(row.pk).done != stopped or not stopped:
            raise RuntimeError("it went on though it was stopped")
        acting.resume(row.pk, actor="bench", barred=())
        second = _picked_up(bench, make, lambda: acting.operation_of(row.pk).state == OperationState.RUNNING)
        wait_for(lambda: acting.operation_of(row.pk).state == OperationState.DONE, 60, list(checked))
        took = time.monotonic() - began - 1
    _check(bench, acting.operation_of(row.pk), count)
    values = {"count_ms": counted * 1000, "tasks_s": count / took}
    values |= {f"before_{name}": value for name, value in spread_ms(before).items()}
    values |= {f"meanwhile_{name}": value for name, value in spread_ms(first + second).items()}
    yield Run(f"{count:,} cancelled at {RATE:,} a second", values, {"stopped_at": stopped})


def _done(operation_id: object, count: int) -> bool:
    return BulkOperation.objects.get(pk=operation_id).done >= count


def _picked_up(bench: Bench, make: Callable[[], str], goes_on: Callable[[], bool], most: int = 100_000) -> list[float]:
    """Tasks made one each 20 ms while it goes on: from each call, how long until its body began."""
    calls: dict[str, float] = {}
    due = time.monotonic()
    while len(calls) < most and goes_on():
        due += EVERY
        time.sleep(max(0.0, due - time.monotonic()))
        call = time.time()
        calls[make()] = call
    wait_for(lambda: calls.keys() <= read_marks(bench.marks).keys(), 30, [])
    begun = read_marks(bench.marks)
    return [begun[task_id] - call for task_id, call in calls.items()]


def _check(bench: Bench, row: BulkOperation, count: int) -> None:
    """Every task is cancelled, counted and in the audit trail, once."""
    found = (row.touched, row.skipped, row.failed, bench.one(bench.watch, _CANCELLED), bench.one(bench.watch, _EVENTS))
    if found != (count, 0, 0, count, count):
        raise RuntimeError(f"touched, skipped, failed, cancelled, audited: {found}, not {count}")


WORKLOAD = Workload(
    "bulk",
    "Bulk operations",
    f"Waiting tasks cancelled at {RATE:,} a second by one scheduler, stopped half way and resumed; pick-up of a task "
    "each 20 ms, before and meanwhile. Every task is then cancelled, counted and audited, once.",
    {
        "count_ms": "dry run ms",
        "tasks_s": "tasks/s",
        "before_p50": "pick-up before p50 ms",
        "before_p99": "p99",
        "meanwhile_p50": "meanwhile p50",
        "meanwhile_p99": "p99",
    },
    run,
)
