"""Compare fire times with the brute-force oracle round every clock change of every zone in ten years.

The test suite asks a few expressions at each change, drawn by a seed. By hand,
``python -m tests.property.fire_times`` asks all shapes and many more; ``--seed`` repeats a run, ``--part 2/8`` takes
one eighth of the zones.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from schedules_app.recurrence import Definition, DstFold, DstGap, parse
from tests.support.fire_oracle import OracleCron, changes, fire_times, walk

FIRST_YEAR, LAST_YEAR = 2020, 2030
REACH = timedelta(hours=3)
#: Shapes that are asked at every change; ``{…}`` are taken from its wall clock.
SHAPES = (
    "{minute} {hour} * * *",
    "{minute} {hour} {day} {month} *",
    "0 {hour} * * *",
    "30 {hour},{next_hour} * * *",
    "*/10 {hour} * * *",
    "{minute} * * * *",
    "*/15 * * * *",
    "0 */2 * * *",
    "{minute}-59/7 {hour}-23 * * {weekday}",
    "0,30 0-23 {day} * {weekday}",
)


def zones(part: int = 1, parts: int = 1) -> dict[str, list[datetime]]:
    """Every zone with changes of its own in those years, and its changes; of equal ones the first by name.

    Of a part of the names only, since finding the changes of all takes longer than a small comparison.
    """
    found: dict[tuple[object, ...], tuple[str, list[datetime]]] = {}
    for name in sorted(available_timezones())[part - 1 :: parts]:
        zone = ZoneInfo(name)
        moments = changes(zone, FIRST_YEAR, LAST_YEAR)
        if moments:
            rules = tuple((at, at.astimezone(zone).utcoffset()) for at in moments)
            found.setdefault(rules, (name, moments))
    return dict(found.values())


def expressions(draw: random.Random, local: datetime, *, shapes: int, made_up: int) -> Iterator[str]:
    """Expressions near a wall clock: some of the shapes, and some that are made up of parts."""
    near = {
        "minute": draw.randrange(60),
        "hour": (local.hour + draw.randint(-1, 0)) % 24,
        "next_hour": (local.hour + 1) % 24,
        "day": local.day,
        "month": local.month,
        "weekday": local.isoweekday() % 7,
    }
    for shape in draw.sample(SHAPES, shapes):
        yield shape.format(**near)
    for _ in range(made_up):
        minute = draw.choice(["*", "0", "30", "59", "*/20", "1-58/3", "5,35,50", str(draw.randrange(60))])
        hours = sorted({(local.hour + draw.randint(-3, 3)) % 24 for _ in range(2)})
        hour = draw.choice(["*", "*/3", str(hours[0]), f"{hours[0]}-{hours[-1]}", ",".join(map(str, hours))])
        day = draw.choice(["*", "*", str(local.day), "*/2", f"1-{local.day}"])
        weekday = draw.choice(["*", "*", str(local.isoweekday() % 7), "7", "1-5"])
        yield f"{minute} {hour} {day} * {weekday}"


def compare(name: str, change: datetime, expression: str) -> int:
    """Compare one expression round one change, under every choice, forwards and backwards. Returns how many."""
    start, end = change - REACH, change + REACH
    cron, minutes = OracleCron(expression), list(walk(ZoneInfo(name), start, end))
    for gap in DstGap:
        for fold in DstFold:
            wanted = fire_times(cron, minutes, skip_gap=gap is DstGap.SKIP, twice=fold is DstFold.TWICE)
            recurrence = parse(Definition(cron=expression, timezone=name, anchor=change, dst_gap=gap, dst_fold=fold))
            after = start - timedelta(seconds=1)
            slots = list(recurrence.slots(after, end))
            case = f"{expression!r} in {name} round {change:%Y-%m-%d %H:%MZ}, gap {gap}, fold {fold}"
            assert [(slot.at, slot.runs) for slot in slots] == [(slot.at, slot.runs) for slot in wanted], case
            assert recurrence.recent(after=after, until=end, limit=1000) == slots, f"backwards: {case}"
    return len(DstGap) * len(DstFold)


def compare_all(seed: int, *, shapes: int, made_up: int, part: int = 1, parts: int = 1) -> str:
    """Compare round every change of every zone, or of one part of the zones; return what was done."""
    draw, began, compared, rounds = random.Random(seed), time.monotonic(), 0, 0
    chosen = list(zones(part, parts).items())
    for name, moments in chosen:
        for change in moments:
            rounds += 1
            local = change.astimezone(ZoneInfo(name)).replace(tzinfo=None)
            for expression in expressions(draw, local, shapes=shapes, made_up=made_up):
                compared += compare(name, change, expression)
    seconds = time.monotonic() - began
    return f"seed {seed}: {compared} comparisons, {rounds} changes of {len(chosen)} zones, equal, {seconds:.0f} s"


def main() -> None:
    """Run by hand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="1/1", help="which part of the zones, as 2/8")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--made-up", type=int, default=50, help="expressions at each change, besides all shapes")
    options = parser.parse_args()
    part, parts = map(int, options.part.split("/"))
    print(compare_all(options.seed, shapes=len(SHAPES), made_up=options.made_up, part=part, parts=parts))


if __name__ == "__main__":
    main()
