"""Batches: their drain beside that of plain tasks; how soon what waits for all of a batch is let through."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from access_app.ids import new_task_ids
from tasks_app.fields import NewTask
from tasks_app.parents import WholeBatch
from tasks_app.services import create_tasks
from tests.bench.bench import Bench, Setting, wait_for
from tests.bench.drain import drain
from tests.bench.results import Options, Run, Workload
from workflows_app.batches import Members, add_tasks, create_batch
from workflows_app.new_batches import NewBatch

#: What waits for a batch waits for its time, too: what is measured is when it was let through, not when it ran.
LATER: Final = timedelta(hours=1)
#: Tasks of one call.
EACH: Final = 10_000
_LAST_END: Final = "SELECT extract(epoch FROM max(finished_at))::float8 FROM tasks WHERE batch_id IS NOT NULL"
_WAITING: Final = "SELECT count(*) FROM tasks WHERE gate = 2 AND gate > 1 AND worker_id IS NULL AND finished_at IS NULL"
_ROUND_MS: Final = """
SELECT coalesce(sum(total_exec_time), 0)::float8 FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid
 WHERE d.datname = current_database() AND (query LIKE '%has_dependents%' OR query LIKE '%batches%')
   AND query NOT LIKE '%scheduler_heartbeats%' AND query NOT LIKE '%task_executions%' AND query NOT LIKE 'COPY%'"""


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """Plain and in a batch in turn, twice; then 10,000 in a batch and one that waits for all of them."""
    tasks = options.count(40_000, 4_000)
    for turn in (1, 2):
        for name, batched in (("plain", False), ("in a batch", True)):
            bench.fresh()
            _fill(tasks, batched=batched)
            bench.settle()
            rate = drain(bench, options.setting, tasks, exact=False).rate
            yield Run(f"drain, {name}, {turn}", {"tasks_s": rate})
    count = options.count(10_000, 2_000)
    yield Run(f"fan-out of {count:,} and fan-in", _fan_in(bench, Setting(1, ("--concurrency", "400")), count))


def _fan_in(bench: Bench, setting: Setting, count: int) -> dict[str, float]:
    bench.fresh(pg_stat_statements__track="top")
    with bench.workers(setting) as guardians, bench.scheduler() as scheduler:
        soon = datetime.now(UTC) + timedelta(seconds=5)
        batch = create_batch(NewBatch(name="fan"), _members(count, schedule_at=soon), created_by="bench").batch
        later = datetime.now(UTC) + LATER
        create_tasks([NewTask(type="DUMMY", depends_on=[WholeBatch(batch.pk)], schedule_at=later)], created_by="bench")
        bench.watch.execute("SELECT pg_stat_statements_reset()")
        wait_for(lambda: not bench.one(bench.watch, _WAITING), 120, [*guardians, scheduler], interval=0.002)
        seen = time.time()
        opened = (seen - bench.one(bench.watch, _LAST_END)) * 1000
        return {"open_ms": opened, "member_us": bench.one(bench.watch, _ROUND_MS) / count * 1000}


def _fill(tasks: int, *, batched: bool) -> None:
    if not batched:
        create_tasks([NewTask(type="DUMMY")] * tasks, created_by="bench")
        return
    batch = create_batch(NewBatch(name="drain"), _members(min(EACH, tasks)), created_by="bench").batch
    for start in range(EACH, tasks, EACH):
        add_tasks(batch.pk, _members(min(EACH, tasks - start)), created_by="bench")


def _members(count: int, schedule_at: datetime | None = None) -> Members:
    new = NewTask(type="DUMMY", schedule_at=schedule_at)
    return Members([new] * count, ["{}"] * count, new_task_ids(count))


WORKLOAD = Workload(
    "batches",
    "Batches",
    "Plain tasks and tasks of a batch drained in turn; from the last end in a batch until a task that waits for all of "
    "it was seen to be let through; the server's time of rounds for each task of a batch.",
    {"tasks_s": "tasks/s", "open_ms": "let through ms", "member_us": "server µs a task"},
    run,
)
