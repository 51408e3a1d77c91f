"""Listeners: a NOTIFY wakes every listening session of the database; do a hundred idle ones slow the engine down?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import psycopg

from tests.bench import fill
from tests.bench.bench import Bench
from tests.bench.drain import drain
from tests.bench.results import Options, Run, Workload


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """A drain without, then with 100 sessions that LISTEN on a channel of their own."""
    tasks, alone = options.drain_tasks, 0.0
    for listeners in (0, options.count(100, 20)):
        bench.fresh()
        fill.fill_waiting(bench, tasks)
        bench.settle()
        with ExitStack() as stack:
            for _ in range(listeners):
                connection = stack.enter_context(psycopg.connect(bench.url, autocommit=True))
                connection.execute("LISTEN bench_idle")
            rate = drain(bench, options.setting, tasks).rate
        alone = alone or rate
        yield Run(f"{listeners} idle listeners", {"tasks_s": rate, "ratio": rate / alone})


WORKLOAD = Workload(
    "listeners",
    "Idle listeners",
    "A drain while other sessions LISTEN on a channel of their own.",
    {"tasks_s": "tasks/s", "ratio": "ratio to none"},
    run,
)
