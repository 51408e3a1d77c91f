"""Recurring schedules: very many at the same second, with schedulers killed, beside very many, after a long absence."""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Final

from schedules_app.new_schedules import NewSchedule
from tasks_app.fields import NewTask
from tests.bench import fill
from tests.bench.bench import Bench, wait_for
from tests.bench.drain import drain, ended
from tests.bench.results import Options, Record, Run, Workload
from tests.bench.schedule_load import decided_until, fill_schedules, read_slots
from tests.bench.workloads.w3_pickup import by_service, pick_up
from tests.support.figures import percentile
from tests.support.processes import PeakMemory, cpu_of_family

MINUTE, DAY, WEEK = timedelta(minutes=1), timedelta(days=1), timedelta(weeks=1)
ZONES: Final = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata")
TASK: Final = NewTask(type="DUMMY")
KILL_EVERY: Final = 20
#: Seconds the first kill of each minute comes after its slots: a moment later each time, so that it hits the passes.
KILL_STEP: Final = 0.2
#: Alternating runs of few due schedules among few and among many.
ROUNDS: Final = 2
_MOVE_BACK: Final = (
    "UPDATE schedules SET next_slot = next_slot - %(by)s, next_fire_at = next_fire_at - %(by)s,"
    " last_slot = last_slot - %(by)s, last_local = last_local - %(by)s, anchor_at = anchor_at - %(by)s"
)
_RESUMED: Final = "UPDATE schedules SET paused_at = next_slot - interval '1 day', resumed_at = %(back)s"
_FIRED: Final = "SELECT count(*) FROM schedule_fires"
_STATEMENTS: Final = """
SELECT sum(total_exec_time) FILTER (WHERE query ~ '(schedules|schedule_fires)'), sum(total_exec_time)
  FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid WHERE d.datname = current_database()"""


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """Every part, or those of ``--part``."""
    parts: dict[str, Callable[[], Iterator[Run]]] = {
        "minute": lambda: _every_minute(bench, options, schedulers=1),
        "kills": lambda: _every_minute(bench, options, schedulers=3),
        "few": lambda: _few_due(bench, options),
        "week": lambda: _after_a_week(bench, options),
        "drain": lambda: _drain_beside(bench, options),
        "pickup": lambda: _pick_up_beside(bench, options),
    }
    for name, part in parts.items():
        if options.part in ("", name):
            yield from part()


def _every_minute(bench: Bench, options: Options, *, schedulers: int) -> Iterator[Run]:
    """All due at second 0 of each minute. Of several schedulers one is killed each 20 s, and another one started."""
    count, minutes = options.count(10_000, 400), options.minutes or options.count(3, 1)
    bench.fresh()
    for zone in ZONES:
        task = NewSchedule(name=f"bench-{zone.partition('/')[2] or zone}", cron="* * * * *", timezone=zone, task=TASK)
        fill_schedules(bench, count // len(ZONES), task)
    bench.settle()
    with bench.workers(options.setting) as guardians, ExitStack() as stack:
        running = [stack.enter_context(bench.scheduler()) for _ in range(schedulers)]
        since = _next_minute(bench, ahead=5)
        until = since + (minutes - 1) * MINUTE
        memory, kills = PeakMemory([running[0].pid]), 0
        while datetime.now(UTC) < until + timedelta(seconds=KILL_EVERY):
            time.sleep(0.02)
            memory.look()
            if schedulers > 1 and time.time() >= _kill_at(since, kills):
                running[kills % schedulers].send(signal.SIGKILL)
                running[kills % schedulers] = stack.enter_context(bench.scheduler())
                kills += 1
        wait_for(lambda: decided_until(bench, until), 60, [*guardians, *running])
        slots = read_slots(bench, since, until)
        wait_for(lambda: ended(bench) >= slots.count - slots.missed, 60, [*guardians, *running])
        slots = read_slots(bench, since, until)
    values = {
        "fires": slots.count,
        "missed": slots.missed,
        "double": slots.double,
        "late_p50": 1000 * percentile(slots.late, 0.5),
        "late_p99": 1000 * percentile(slots.late, 0.99),
        "late_max": 1000 * max(slots.late),
        "start_p99": 1000 * percentile(slots.start, 0.99),
        "rss_mb": memory.rss,
    }
    killed = f", {schedulers} schedulers, one killed each {KILL_EVERY} s" if schedulers > 1 else ", one scheduler"
    yield Run(f"{count:,} each minute for {minutes} minutes{killed}", values, {"kills": kills})
    slots.check()


def _kill_at(since: datetime, kills: int) -> float:
    """When the next scheduler is killed: just after the slots, and 20 s and 40 s later."""
    minute, third = divmod(kills, 60 // KILL_EVERY)
    return since.timestamp() + 60 * minute + KILL_EVERY * third + (minute + 1) * KILL_STEP


def _few_due(bench: Bench, options: Options) -> Iterator[Run]:
    """50 schedules due each second, alone and beside very many that are due tomorrow."""
    due, seconds = 50, options.count(20, 4)
    for _ in range(ROUNDS if not options.quick else 1):
        for others in (0, options.count(100_000, 2_000) - due):
            bench.fresh(pg_stat_statements__track="top")
            if others:
                fill_schedules(bench, others, NewSchedule(name="tomorrow", interval_seconds=86_400, task=TASK))
            fill_schedules(bench, due, NewSchedule(name="now", interval_seconds=1, overlap="allow", task=TASK))
            bench.settle()
            with bench.scheduler() as scheduler:
                wait_for(lambda: bench.one(bench.watch, _FIRED), 60, [scheduler])
                time.sleep(1)
                bench.watch.execute("SELECT pg_stat_statements_reset()")
                before, server = cpu_of_family(scheduler.pid), cpu_of_family(bench.server_pid)
                time.sleep(seconds)
                used, server = cpu_of_family(scheduler.pid) - before, cpu_of_family(bench.server_pid) - server
                [(firing, statements)] = bench.watch.execute(_STATEMENTS.encode()).fetchall()
            values = {
                "scheduler_ms": 1000 * used / seconds,
                "server_ms": 1000 * server / seconds,
                "firing_ms": firing / seconds,
            }
            yield Run(f"{due} due each second of {due + others:,}", values, {"statements_ms": statements / seconds})


def _after_a_week(bench: Bench, options: Options) -> Iterator[Run]:
    """Every minute of a week is undecided: paused for all of it and just resumed; or simply nobody was there."""
    count = options.count(10_000, 200)
    for case, prepare in (("resumed after a paused week", _RESUMED), ("found after a week", None)):
        bench.fresh()
        fill_schedules(bench, count, NewSchedule(name="bench", cron="* * * * *", task=TASK))
        bench.watch.execute(_MOVE_BACK, {"by": WEEK})
        bench.settle()
        back = bench.one(bench.watch, "SELECT now()")
        if prepare is not None:
            bench.watch.execute(prepare, {"back": back})
        with bench.workers(options.setting), bench.scheduler() as scheduler:
            began, memory = time.monotonic(), PeakMemory([scheduler.pid])
            while not decided_until(bench, back):
                scheduler.check()
                memory.look()
                time.sleep(0.05)
            took = time.monotonic() - began
            rows, told, old = bench.watch.execute(_AFTER, {"back": back}).fetchone() or (0, 0, 0)
        values = {"fires": told, "rows": rows, "tasks": old, "took_s": took, "rss_mb": memory.rss}
        yield Run(f"{count:,} {case}", values)


#: Rows for slots before the return, the slots they stand for, and the tasks made of those slots.
_AFTER: Final = """
SELECT count(*), sum(CASE WHEN last_slot IS NULL THEN 1 ELSE 1 + extract(epoch FROM last_slot - slot) / 60 END)::bigint,
       count(task_id)
  FROM schedule_fires WHERE slot <= %(back)s"""


def _drain_beside(bench: Bench, options: Options) -> Iterator[Run]:
    """W1, without and beside many enabled schedules that are not due."""
    for beside in _alternating(bench, options):
        fill.create(options.drain_tasks)
        bench.settle()
        done = drain(bench, options.setting, options.drain_tasks)
        yield Run(f"drain {beside}", {"tasks_s": done.rate})


def _pick_up_beside(bench: Bench, options: Options) -> Iterator[Run]:
    """W3 in the same way."""
    for beside in _alternating(bench, options):
        bench.settle()
        _, values = pick_up(bench, options.count(200, 50), by_service)
        yield Run(f"pick-up {beside}", values)


def _alternating(bench: Bench, options: Options) -> Iterator[str]:
    """A fresh database without schedules, and one with many; the first is another each time."""
    sizes = [0, options.count(10_000, 200)]
    for number in range(options.repeat):
        for many in sizes if number % 2 == 0 else reversed(sizes):
            bench.fresh()
            if many:
                fill_schedules(bench, many, NewSchedule(name="tomorrow", interval_seconds=86_400, task=TASK))
            yield f"beside {many:,}" if many else "alone"


def _next_minute(bench: Bench, *, ahead: int) -> datetime:
    """The first whole minute at least so many seconds away."""
    soon = datetime.now(UTC) + timedelta(seconds=ahead)
    return soon.replace(second=0, microsecond=0) + MINUTE


def summarize(by_name: Mapping[str, list[Record]]) -> list[str]:
    """What drain and pick-up lose beside schedules that are not due."""
    runs = [record.run for record in by_name["schedules"]]
    sentences = []
    for figure, sentence in (
        ("tasks_s", "Beside enabled schedules that are not due, the drain reaches {:.1%} of its rate without."),
        ("call_p50", "Beside them, the median pick-up takes {:.1%} of its time without."),
    ):
        alone = [run.values[figure] for run in runs if figure in run.values and "alone" in run.case]
        beside = [run.values[figure] for run in runs if figure in run.values and "beside" in run.case]
        if alone and beside:
            sentences.append(sentence.format(statistics.median(beside) / statistics.median(alone)))
    return sentences


WORKLOAD = Workload(
    "schedules",
    "Recurring schedules",
    "Missed: slots without a task; double: tasks that are not the one of their slot. Late: milliseconds from due to "
    "decided; start: from the slot to the start of its task. Few due: milliseconds of processor time and of firing "
    "statements in each second. Goals: nothing missed or double, late p99 ≤ 2 s, with kills ≤ 5 s.",
    {
        "fires": "slots",
        "missed": "missed",
        "double": "double",
        "late_p50": "late p50 ms",
        "late_p99": "p99",
        "late_max": "max",
        "start_p99": "start p99 ms",
        "rows": "rows",
        "tasks": "tasks of old slots",
        "took_s": "decided in s",
        "scheduler_ms": "CPU ms/s scheduler",
        "server_ms": "CPU ms/s server",
        "firing_ms": "statements ms/s",
        "tasks_s": "tasks/s",
        "call_p50": "call to start p50 ms",
        "call_p99": "p99 ms",
        "rss_mb": "peak RSS MB of a scheduler",
    },
    run,
    summarize,
    once=True,
    on_request=True,
)
