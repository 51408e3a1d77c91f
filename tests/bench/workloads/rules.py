"""Rules that hold nothing back: what a drain costs more when each pass has to count for one of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from flow_app.queues import edit_queue
from tests.bench import fill
from tests.bench.bench import Bench
from tests.bench.drain import drain
from tests.bench.results import Options, Run, Workload
from tests.bench.workloads.w1_drain import CPU

TENANTS: Final = 100


class Rule(NamedTuple):
    """What is set on the queue, and what becomes of its tasks beforehand."""

    edit: dict[str, Any]
    tasks: str = ""


RULES: Final[dict[str, Rule]] = {
    "none": Rule({}),
    "a key on each task": Rule({}, "concurrency_key = 'key ' || id"),
    "a limit of the queue": Rule({"maxConcurrency": 100_000}),
    "a rate far above the load": Rule({"rateLimit": {"limit": 1_000_000, "periodSeconds": 1, "burst": 1_000_000}}),
    f"shared by {TENANTS} tenants": Rule(
        {"fairBy": "fairKey"}, f"fair_key = 'tenant ' || (('x' || right(id::text, 4))::bit(16)::int % {TENANTS})"
    ),
}


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """Each rule in its turn, beside none."""
    tasks = options.tasks or options.count(60_000, 2_000)
    plain = 0.0
    for name, rule in RULES.items():
        bench.fresh()
        fill.fill_waiting(bench, tasks)
        if rule.tasks:
            bench.watch.execute(f"UPDATE tasks SET {rule.tasks}".encode())
        if rule.edit:
            edit_queue("default", rule.edit, actor="bench")
        bench.settle()
        done = drain(bench, options.setting, tasks)
        plain = plain or done.rate
        costs = {where: 1e6 * done.cpu[where] / tasks for where in CPU}
        yield Run(name, {"tasks_s": done.rate, "ratio": done.rate / plain, **costs})


WORKLOAD = Workload(
    "rules",
    "Rules that hold nothing back",
    "No-op tasks of one queue are worked off, each time under one rule that all of them come under and that never "
    "keeps one waiting; and the same without a rule. Processor time in µs a task.",
    {
        "tasks_s": "tasks/s",
        "ratio": "ratio to none",
        "scheduler": "scheduler",
        "worker": "worker",
        "pg_assign": "PG: assign",
        "pg_start": "PG: start",
        "pg_finish": "PG: finish",
        "pg_other": "PG: rest",
    },
    run,
    on_request=True,
)
