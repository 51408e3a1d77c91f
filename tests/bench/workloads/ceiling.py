"""The ceiling: claim, finish and history in plain SQL, to put W1 beside."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench import raw_queue
from tests.bench.bench import Bench
from tests.bench.results import Options, Run, Workload


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """Batches of 100 and 500 with one and two clients, four seconds each."""
    tasks, seconds = options.count(300_000, 20_000), options.count(4, 1)
    for batch in (100, 500):
        for clients in (1, 2):
            bench.fresh()
            raw_queue.fill(bench.url, tasks)
            rate = raw_queue.drive(bench.url, batch=batch, clients=clients, seconds=seconds)
            yield Run(f"batch {batch}, {clients} client{'s' if clients > 1 else ''}", {"tasks_s": rate})


WORKLOAD = Workload(
    "ceiling",
    "Ceiling: the same in plain SQL",
    "Claim a batch, finish it with a history row each, as two transactions, on a minimal table; nothing is executed.",
    {"tasks_s": "tasks/s"},
    run,
)
