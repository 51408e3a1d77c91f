"""W1 (and W6, memory): a backlog of no-op tasks is worked off, by each setting of the workers."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping

from tests.bench import fill
from tests.bench.bench import Bench, Setting
from tests.bench.drain import drain
from tests.bench.results import Options, Record, Run, Workload

#: Few slots are slow on instant tasks: fewer tasks for them, so that every drain lasts seconds, not minutes.
TASKS_PER_SLOT = 625
CPU = ("scheduler", "worker", "pg_assign", "pg_start", "pg_finish", "pg_other")


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """Create the tasks with the workers stopped, settle, start, and measure from the first start until none is left."""
    for setting in options.settings:
        tasks = min(options.drain_tasks, TASKS_PER_SLOT * setting.slots)
        bench.fresh()
        fill.create(tasks)
        bench.settle()
        done = drain(bench, setting, tasks)
        values = {
            "tasks_s": done.rate,
            "tasks": tasks,
            "drain_s": done.seconds,
            "rss_mb": done.rss_mb,
            "pss_mb": done.pss_mb,
            **{name: 1e6 * done.cpu[name] / tasks for name in CPU},
            "sum": 1e6 * sum(done.cpu.values()) / tasks,
            **done.written,
        }
        yield Run(str(setting), values)


def rates(records: list[Record]) -> dict[str, float]:
    """The median rate of each setting."""
    found: dict[str, list[float]] = defaultdict(list)
    for record in records:
        found[record.run.case].append(record.run.values["tasks_s"])
    return {case: statistics.median(values) for case, values in found.items()}


def summarize(by_name: Mapping[str, list[Record]]) -> list[str]:
    """The best setting, and how much of the ceiling it reaches."""
    records = by_name["w1"]
    medians = rates(records)
    best = max(medians, key=lambda case: medians[case])
    setting, tasks = Setting.parse(best), max(record.run.values["tasks"] for record in records)
    workers = f"{setting.workers} worker{'s' if setting.workers > 1 else ''}"
    command = " ".join(["runworker", *setting.arguments])
    text = f"Best setting: `{command}` ({workers}): {medians[best]:,.0f} tasks/s over {tasks:,.0f} tasks."
    ceilings = rates(by_name.get("ceiling", []))
    shares = [f"{medians[best] / rate:.0%} of {case}" for case, rate in ceilings.items()]
    return [text, f"That is, of plain SQL: {', '.join(shares)}."] if shares else [text]


WORKLOAD = Workload(
    "w1",
    "Drain (W1) and memory (W6)",
    "No-op tasks wait; one scheduler and the workers start; the rate is from the first start until the tables say that "
    "none is left. Memory: peak of the worker group, guardians included. Processor time over the same "
    "time in µs a task: processes, and the sessions of the server by what they do (PG). Log, dead row versions and HOT "
    "changes: of each task.",
    {
        "tasks_s": "tasks/s",
        "tasks": "tasks",
        "drain_s": "drain s",
        "rss_mb": "peak RSS MB",
        "pss_mb": "peak PSS MB",
        "scheduler": "µs scheduler",
        "worker": "worker",
        "pg_assign": "PG assign",
        "pg_start": "PG start",
        "pg_finish": "PG finish",
        "pg_other": "PG other",
        "sum": "sum",
        "wal_bytes": "WAL bytes",
        "dead": "dead rows",
        "hot": "HOT",
    },
    run,
    summarize,
)
