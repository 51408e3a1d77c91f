"""Pressure: a steady producer while things go wrong; how much is done, how late, and how soon all is well again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import psycopg

from tests.bench.bench import Bench
from tests.bench.pressure import oracle
from tests.bench.pressure.figures import Totals, highest, recovered, within
from tests.bench.pressure.pressures import PRESSURES
from tests.bench.pressure.subject import RATE, SLOTS, WORKERS, Subject, under_pressure
from tests.bench.results import Options, Record, Run, Workload
from tests.support.figures import spread_ms

CLEAN, ALL = "clean", "all"
#: Goals: seconds until the depth is what it was, and the 99th percentile of what follows to the one before.
BACK, RATIO = 60.0, 1.2
COLUMNS = {
    "tasks_s": "tasks/s",
    "p50": "to end p50 ms",
    "p95": "p95",
    "p99": "p99",
    "depth": "greatest depth",
    "wal": "WAL bytes a task",
    "commits": "commits a task",
    "changed": "row versions a task",
    "dead": "dead ones left",
    "back_s": "back after s",
    "after_p99": "clean p99 afterwards ms",
    "ratio": "to before",
}


@dataclass(frozen=True, slots=True)
class Normal:
    """What the first clean phase was like."""

    depth: int
    p99: float


def run(bench: Bench, options: Options) -> Iterator[Run]:
    """A clean phase, then each pressure with a clean phase behind it; in the end everything is accounted for."""
    seconds = options.count(60 * (options.minutes or 1), 5)
    chosen = [PRESSURES[name] for name in PRESSURES if not options.part or options.part in name]
    bench.fresh()
    with under_pressure(bench) as subject:
        subject.wait_until_whole()
        subject.wait_until_calm(RATE, BACK)
        subject.rest_until(time.time() + seconds / 3)
        normal, first = _clean(subject, seconds)
        yield first
        for pressure in chosen:
            yield _phase(subject, pressure.name, partial(pressure.act, subject, seconds), normal, seconds)
        subject.producer.close()
        stopped = time.time()
        subject.wait_until_calm(0, 2 * BACK)
        back = time.time() - stopped
        accepted, unconfirmed = subject.producer.due, subject.producer.unconfirmed
    bench.reconnect()
    with psycopg.connect(bench.url, autocommit=True, application_name="bench oracle") as connection:
        repeated = oracle.check(connection, accepted, bench.marks)
    yield Run(ALL, {"back_s": back}, {"accepted": len(accepted), "unconfirmed": unconfirmed, "repeated": repeated})
    bench.reconnect()


def _clean(subject: Subject, seconds: float) -> tuple[Normal, Run]:
    began, subject.totals = time.time(), Totals(subject.counters())
    subject.rest_until(began + seconds)
    until = time.time()
    subject.totals.add(subject.counters())
    subject.wait_until_calm(RATE, BACK)
    figures = _figures(subject, began, until)
    return Normal(int(figures["depth"]), figures["p99"]), Run(CLEAN, figures)


def _phase(subject: Subject, name: str, act: Callable[[], None], normal: Normal, seconds: float) -> Run:
    began, subject.totals = time.time(), Totals(subject.counters())
    act()
    until = time.time()
    subject.totals.add(subject.counters())
    subject.wait_until_calm(normal.depth, 2 * BACK)
    clean = time.time()
    subject.rest_until(clean + seconds)
    over = time.time()
    subject.wait_until_calm(normal.depth, BACK)
    figures = _figures(subject, began, until)
    lives = subject.lives(began)
    after = spread_ms(within(lives, clean, over))
    back = recovered(lives, until, normal.depth)
    more = {"back_s": back, "after_p99": after["p99"], "ratio": after["p99"] / normal.p99}
    return Run(name, figures | more, {"after": after, "lasted": until - began, "capacity": subject.capacity})


def _figures(subject: Subject, began: float, until: float) -> dict[str, float]:
    lives = subject.lives(began)
    ended = sum(began <= end < until for _, end in lives)
    spread = spread_ms(within(lives, began, until))
    return {
        "tasks_s": ended / (until - began),
        "p50": spread["p50"],
        "p95": spread["p95"],
        "p99": spread["p99"],
        "depth": highest(lives, began, until),
        **subject.totals.per_task(ended),
    }


def summarize(by_name: Mapping[str, list[Record]]) -> list[str]:
    """How the goals were met, and what the accounts say."""
    runs = [record.run for record in by_name["pressure"]]
    under = [run for run in runs if run.case not in (CLEAN, ALL)]
    if not under or runs[-1].case != ALL:
        return []
    back = max(under, key=lambda run: run.values["back_s"])
    after = max(under, key=lambda run: run.values["ratio"])
    counts = runs[-1].detail
    return [
        f"Of {counts['accepted']:,} accepted tasks none was lost and none succeeded twice; {counts['repeated']:,} "
        "bodies ran again because their worker was killed or cut off. The longest way back took "
        f"{back.values['back_s']:.1f} s ({back.case}; goal: {BACK:g}); the clean phase after {after.case} had "
        f"{after.values['ratio']:.2f} times the 99th percentile of before (goal: {RATIO:g} at most)."
    ]


WORKLOAD = Workload(
    "pressure",
    "Pressure",
    f"{RATE} tasks/s, created {RATE // 50} at a time, on {WORKERS} workers of {SLOTS} slots; milliseconds from when a "
    "task was due to be created until its end is stored, of the tasks that fell due in the phase. Behind each phase "
    "the depth comes back to the greatest of the clean one, then as long a clean phase follows. Server statistics are "
    "counted over the phase itself; a killed backend sets them back.",
    COLUMNS,
    run,
    summarize,
    once=True,
    on_request=True,
)
