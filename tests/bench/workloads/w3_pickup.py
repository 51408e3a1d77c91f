"""W3: how soon after its creation the body of a task begins, on an idle system."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from typing import Final

from tasks_app.fields import NewTask
from tasks_app.services import create_task
from tests.bench.bench import Bench, Setting, wait_for
from tests.bench.client import Connection, request, serving
from tests.bench.executors import read_marks
from tests.bench.results import Options, Run, Workload
from tests.support.figures import spread_ms

EVERY = 0.02
WARM_UP = 10
Creation = tuple[str, float, float]  # task id, call, return
Creating = Callable[[Bench], AbstractContextManager[Callable[[], str]]]


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """200 tasks, one each 20 ms: by the Python service, then by ``POST /tasks``. The body says when it began."""
    count = options.count(200, 100)
    for case, creating in CREATING.items():
        bench.fresh()
        made, values = pick_up(bench, count, creating)
        yield Run(case, values, {"count": count, "creating_ms": spread_ms(b - a for _, a, b in made)})


def pick_up(bench: Bench, count: int, creating: Creating) -> tuple[list[Creation], dict[str, float]]:
    """So many tasks on one worker; their creations, and from call and from return how long until they began."""
    with bench.workers(Setting(1, ())) as guardians, bench.scheduler() as scheduler, creating(bench) as make:
        time.sleep(3)  # until it is idle
        made = _each(count, make)
        wait_for(partial(_all_begun, bench, made), 30, [*guardians, scheduler])
    begun = read_marks(bench.marks)
    calls = spread_ms((begun[task_id] - call for task_id, call, _ in made), "call_")
    returns = spread_ms((begun[task_id] - back for task_id, _, back in made), "return_")
    return made, calls | returns


@contextmanager
def by_service(bench: Bench) -> Iterator[Callable[[], str]]:
    yield lambda: str(create_task(NewTask(type="BENCH_MARK"), created_by="bench").task.pk)


@contextmanager
def _by_http(bench: Bench) -> Iterator[Callable[[], str]]:
    with serving(bench) as (port, key), closing(Connection(port)) as connection:
        body = request("POST", "/tasks", key, {"type": "BENCH_MARK"})
        yield lambda: connection.json(body)["id"]


#: The ways to create a task, by the case they are measured as.
CREATING: Final = {"Python": by_service, "POST /tasks": _by_http}


def _each(count: int, make: Callable[[], str]) -> list[Creation]:
    made = []
    due = time.monotonic()
    for _ in range(WARM_UP + count):
        due += EVERY
        time.sleep(max(0.0, due - time.monotonic()))
        call = time.time()
        task_id = make()
        made.append((task_id, call, time.time()))
    return made[WARM_UP:]


def _all_begun(bench: Bench, made: list[Creation]) -> bool:
    begun = read_marks(bench.marks)
    return all(task_id in begun for task_id, _, _ in made)


WORKLOAD = Workload(
    "w3",
    "Pick-up on an idle system (W3)",
    "200 tasks, one each 20 ms (after 10 to warm up); milliseconds until the body begins, noted by the body itself.",
    {
        "call_p50": "from call p50",
        "call_p95": "p95",
        "call_p99": "p99",
        "return_p50": "from return p50",
        "return_p95": "p95",
        "return_p99": "p99",
    },
    run,
)
