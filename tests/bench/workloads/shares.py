"""Fair shares on real processes: what tenants of weights 3 and 1 get of the slots, and how many slots stay empty."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from flow_app import queue_keys
from flow_app.queues import edit_queue
from tasks_app.fields import NewTask
from tests.bench import fill
from tests.bench.bench import Bench, Setting
from tests.bench.results import Options, Run, Workload

SETTING: Final = Setting.parse("2x --concurrency 8")
WEIGHT: Final = 3
WARM_UP: Final = 5.0

# What of each attempt lies in the window, by the tenant it was for; NULL: the queue is not shared.
_USED = """
SELECT t.tenant, count(*) FILTER (WHERE x.started_at >= w.began),
       sum(extract(epoch FROM least(coalesce(x.finished_at, w.ended), w.ended)
                   - greatest(x.started_at, w.began)))::float8
  FROM (VALUES (%s::timestamptz, %s::timestamptz)) AS w(began, ended)
  JOIN (SELECT task_id, started_at, finished_at FROM task_executions
        UNION ALL
        SELECT id, started_at, NULL FROM tasks WHERE status = 'RUNNING') AS x
    ON x.started_at < w.ended AND (x.finished_at IS NULL OR x.finished_at > w.began)
  JOIN tasks t ON t.id = x.task_id
 GROUP BY t.tenant"""


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """The same tasks in a queue that is not shared, and in one that is; and longer ones in that."""
    seconds = options.count(60, 10)
    for milliseconds, shared in ((100, False), (100, True), (1000, True)):
        case = f"{'shared 3 : 1' if shared else 'not shared'}, tasks of {milliseconds:,} ms"
        yield Run(case, _measure(bench, seconds, milliseconds, shared=shared))


def _measure(bench: Bench, seconds: float, milliseconds: int, *, shared: bool) -> dict[str, float]:
    bench.fresh()
    if shared:
        edit_queue("default", {"fairBy": "fairKey"}, actor="bench")
        queue_keys.set_key("default", "acme", {"weight": WEIGHT}, actor="bench")
    enough = round(1.2 * SETTING.slots * (seconds + WARM_UP) * 1000 / milliseconds)
    for tenant in ("acme", "bolt"):
        fill.create(enough, NewTask(type="DUMMY", payload={"sleepDurationMs": milliseconds}, fair_key=tenant))
    bench.settle()
    with bench.workers(SETTING), bench.scheduler():
        time.sleep(WARM_UP)
        began = bench.one(bench.watch, "SELECT now()")
        time.sleep(seconds - WARM_UP)
        ended = bench.one(bench.watch, "SELECT now()")
        rows = bench.watch.execute(_USED.encode(), [began, ended]).fetchall()
    starts = {tenant: count for tenant, count, _ in rows}
    used = {tenant: busy for tenant, _, busy in rows}
    room = SETTING.slots * (ended - began).total_seconds()
    values = {"used": sum(used.values()) / room, "tasks_s": sum(starts.values()) / (ended - began).total_seconds()}
    if shared:
        values |= {"starts": starts["acme"] / starts["bolt"], "slots": used["acme"] / used["bolt"]}
    return values


WORKLOAD = Workload(
    "shares",
    "Fair shares",
    "Tasks of two tenants with weights 3 and 1, on two workers with eight slots each, for a minute. Used: how much of "
    "the slots ran something, from start to end as the tables have it.",
    {"used": "slots used", "tasks_s": "tasks/s", "starts": "starts, 3 : 1", "slots": "slots, 3 : 1"},
    run,
    on_request=True,
)
