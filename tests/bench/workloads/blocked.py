"""Head of line: what a hundred thousand tasks that come first and may not run cost others, by what holds them back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from flow_app.queues import edit_queue, pause_queue
from flow_app.targets import Rules, put_target
from tasks_app.fields import NewTask
from tasks_app.services import create_tasks
from tests.bench import fill
from tests.bench.bench import Bench, Setting, wait_for
from tests.bench.drain import drain
from tests.bench.results import Options, Run, Workload
from tests.bench.workloads.w3_pickup import by_service, pick_up

FRONT: Final = "front"
HOST: Final = "t.example"


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """A drain and pick-ups of another queue, without and with each kind in front; ``--part`` takes one of them."""
    tasks, many = options.tasks or options.count(20_000, 2_000), options.count(100_000, 2_000)
    chosen = {name: hold for name, hold in KINDS.items() if options.part in ("", name)}
    alone = _measure(bench, options, tasks, None)
    yield Run(f"{tasks:,} alone", alone | {"ratio": 1.0, "later_ms": 0.0})
    for name in chosen:
        values = _measure(bench, options, tasks, partial(_hold_back, bench, name, many))
        ratio, later = values["tasks_s"] / alone["tasks_s"], values["call_p50"] - alone["call_p50"]
        yield Run(f"{many:,} behind: {name}", values | {"ratio": ratio, "later_ms": later})


def _measure(bench: Bench, options: Options, tasks: int, hold: Callable[[], float] | None) -> dict[str, float]:
    bench.fresh()
    parking = hold() if hold is not None else 0.0
    fill.fill_waiting(bench, tasks)
    bench.settle()
    done = drain(bench, options.setting, tasks, exact=False)
    bench.fresh()
    if hold is not None:
        hold()
    bench.settle()
    _, picked = pick_up(bench, options.count(200, 50), by_service)
    values = {"tasks_s": done.rate, "call_p50": picked["call_p50"], "call_p99": picked["call_p99"]}
    return values | ({"parking_s": parking} if parking else {})


def _hold_back(bench: Bench, name: str, count: int) -> float:
    """Have the tasks, and wait until those that are parked are so; return how many seconds that took, 0 for others."""
    KINDS[name](bench, count)
    if name not in PARKED:
        return 0.0
    bench.settle()
    with bench.workers(Setting(1, ())) as guardians, bench.scheduler() as scheduler:
        began = time.monotonic()
        wait_for(lambda: bench.one(bench.watch, _IN_SIGHT) <= 2, 120, [*guardians, scheduler])
        return time.monotonic() - began


def _fill(bench: Bench, count: int, **fields: str) -> None:
    fill.fill_waiting(bench, count, priority=100, queue=FRONT, **fields)


def _hold(**fields: str) -> None:
    """One that runs for ten minutes."""
    new = NewTask(type="DUMMY", payload={"sleepDurationMs": 600_000}, queue=FRONT, priority=100, **fields)  # type: ignore[arg-type]
    create_tasks([new], created_by="bench")


def _queue_limit(bench: Bench, count: int) -> None:
    edit_queue(FRONT, {"maxConcurrency": 1}, actor="bench")
    _hold()
    _fill(bench, count)


def _key_limit(bench: Bench, count: int) -> None:
    _hold(concurrency_key="held")
    _fill(bench, count, key="held")


def _target_limit(bench: Bench, count: int) -> None:
    put_target(HOST, Rules(max_concurrency=0), actor="bench")
    _fill(bench, count)
    bench.watch.execute("UPDATE tasks SET target = %s WHERE queue = %s", [HOST, FRONT])


def _rate(bench: Bench, count: int) -> None:
    edit_queue(FRONT, {"rateLimit": {"limit": 1, "periodSeconds": 86_400}}, actor="bench")
    _fill(bench, count)


def _labels(bench: Bench, count: int) -> None:
    new = NewTask(type="DUMMY", queue=FRONT, priority=100, required_labels={"gpu": "none such"})
    create_tasks([new], created_by="bench")
    _fill(bench, count)
    needs = "(SELECT id FROM task_needs LIMIT 1)"
    bench.watch.execute(f"UPDATE tasks SET needs_id = {needs} WHERE queue = 'front' AND needs_id IS NULL".encode())


def _paused(bench: Bench, count: int) -> None:
    _fill(bench, count)
    pause_queue(FRONT, actor="bench")


#: Kinds of which passes take the tasks out of the index of due tasks, some thousand each.
PARKED: Final = ("key", "target")
_IN_SIGHT: Final = "SELECT count(*) FROM tasks WHERE queue = 'front' AND gate = 0 AND worker_id IS NULL"

KINDS: Final[dict[str, Callable[[Bench, int], None]]] = {
    "queue": _queue_limit,
    "key": _key_limit,
    "target": _target_limit,
    "rate": _rate,
    "label": _labels,
    "paused": _paused,
}

WORKLOAD = Workload(
    "blocked",
    "Tasks that may not run, in front",
    "20,000 no-op tasks of one queue are worked off while 100,000 of priority 100 wait in another one behind a limit "
    "of that queue, a key, a target, a rate, labels that nobody has, or a pause; then pick-ups as in W3, in ms.",
    {
        "tasks_s": "tasks/s",
        "ratio": "ratio to alone",
        "call_p50": "pick-up p50",
        "call_p99": "p99",
        "later_ms": "p50 later by",
        "parking_s": "parked in s",
    },
    run,
    on_request=True,
)
