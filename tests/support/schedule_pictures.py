"""The pictures of docs/schedules.md: what the rules decide, drawn. ``python -m tests.support.schedule_pictures`` writes
them; a test compares the files with what is decided today.

Nothing here knows an outcome: a story (times, policy, outage, how long tasks take) is played through ``decide``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from typing import Final
from uuid import UUID

from schedules_app.calendars import Calendar, OnBlackout, parse_calendar
from schedules_app.firing_rules import FireState, Misfire, Overlap, Pause, Policy, decide, next_due
from schedules_app.recurrence import Definition, DstFold, DstGap, Recurrence, parse
from tests.support.machine import ROOT

FOLDER: Final = ROOT / "docs/pictures"
SCHEDULE: Final = UUID(int=1)
MINUTE: Final = timedelta(minutes=1)
WIDTH, LEFT, RIGHT, TOP, ROW = 860, 196, 20, 66, 44
STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#333}.title{font-size:15px;font-weight:600}.code{font:12px monospace}"
    ".small{font-size:11px;fill:#666}.axis{stroke:#bbb}.away{fill:#eee}.run{fill:#cfe3ff;stroke:#1f6feb}"
    ".cancelled{fill:#ffe1dc;stroke:#cf222e}.FIRED{fill:#1f6feb}.LATE{fill:#e8830c}.move{stroke:#e8830c;fill:none}"
    ".COALESCED{fill:#fff;stroke:#e8830c;stroke-width:2}.SKIPPED{stroke:#777;stroke-width:2;fill:none}"
    ".MISSED{stroke:#cf222e;stroke-width:2;fill:none}"
)


@dataclass(frozen=True, slots=True)
class Mark:
    """One slot: what was decided, and when."""

    slot: datetime
    state: FireState
    at: datetime


@dataclass(slots=True)
class Played:
    """What came of a story: the slots, and from when to when its tasks ran (True: until they were cancelled)."""

    marks: list[Mark] = field(default_factory=list)
    runs: list[tuple[datetime, datetime, bool]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a picture."""

    label: str
    played: Played


@dataclass(frozen=True, slots=True)
class Picture:
    """Lines over the same stretch of time, part of it shaded; ``ticks``: what stands at the axis, and where."""

    name: str
    title: str
    since: datetime
    until: datetime
    ticks: Sequence[tuple[datetime, str]]
    rows: Sequence[Row]
    shaded: tuple[datetime, datetime, str] | None = None


def play(
    recurrence: Recurrence,
    policy: Policy,
    since: datetime,
    until: datetime,
    *,
    outage: tuple[datetime, datetime] | None = None,
    pause: Pause | None = None,
    takes: timedelta = timedelta(0),
) -> Played:
    """Ask the rules at every moment something is due, as a scheduler does; each task takes equally long."""
    played, tasks = Played(), _Tasks(takes, one_at_a_time=policy.overlap is Overlap.QUEUE_ONE)
    due = next_due(SCHEDULE, recurrence, policy.jitter, after=since - timedelta.resolution)
    while due is not None and due.slot.at <= until:
        now = outage[1] if outage and outage[0] <= due.at < outage[1] else due.at
        held = pause if pause and now >= pause.since else None
        if held and held.until and now < held.until:
            held = Pause(held.since)
        decided = decide(
            SCHEDULE, recurrence, policy, first=due.slot.at, now=now, pause=held, open_tasks=tasks.open_at(now)
        )
        for each in decided.decisions:
            played.marks.append(Mark(each.slot.at, each.state, now))
            if each.cancel_open:
                tasks.cancel(now)
            if each.runs:
                tasks.add(now)
        due = decided.next
    played.runs = [(start, min(end, until), cancelled) for start, end, cancelled in tasks.runs if start < until]
    return played


class _Tasks:
    """The tasks a schedule has made, each as long as the others."""

    def __init__(self, takes: timedelta, *, one_at_a_time: bool) -> None:
        self._takes = takes
        self._one_at_a_time = one_at_a_time
        self.runs: list[tuple[datetime, datetime, bool]] = []

    def open_at(self, now: datetime) -> list[UUID]:
        return [UUID(int=number) for number, (_, end, _) in enumerate(self.runs, 1) if end > now]

    def add(self, now: datetime) -> None:
        start = max([now, *(end for _, end, _ in self.runs)]) if self._one_at_a_time else now
        self.runs.append((start, start + self._takes, False))

    def cancel(self, now: datetime) -> None:
        self.runs = [(start, now, True) if end > now else (start, end, gone) for start, end, gone in self.runs]


def pictures() -> Iterator[Picture]:
    """All pictures, in the order of the page."""
    yield _misfire()
    yield _overlap()
    yield _kept()
    yield _gap()
    yield _fold()


def _misfire() -> Picture:
    since, until = _at("08:00"), _at("10:00")
    outage = (_at("08:35"), _at("09:34"))
    every = _cron("*/10 * * * *")
    choices = {
        "skip": Policy(misfire=Misfire.SKIP),
        "run_once": Policy(),
        "run_all, maxRuns 3": Policy(misfire=Misfire.RUN_ALL, max_runs=3, overlap=Overlap.ALLOW),
    }
    rows = [Row(name, play(every, policy, since, until, outage=outage)) for name, policy in choices.items()]
    shaded = (*outage, "no scheduler")
    return Picture("misfire", "misfire: what was missed", since, until, _clock(since, until), rows, shaded)


def _overlap() -> Picture:
    since, until, takes = _at("08:00"), _at("09:00"), 14 * MINUTE
    rows = [
        Row(choice, play(_cron("*/10 * * * *"), Policy(overlap=choice), since, until, takes=takes))
        for choice in Overlap
    ]
    title = "overlap: a slot every 10 minutes, tasks of 14 minutes"
    return Picture("overlap", title, since, until, _clock(since, until, step=10), rows)


def _kept() -> Picture:
    since, until = _at("08:00"), _at("10:00")
    held = (_at("08:25"), _at("09:15"))
    ranges = [{"from": f"{held[0]:%Y-%m-%dT%H:%MZ}", "to": f"{held[1]:%Y-%m-%dT%H:%MZ}"}]
    skipping, waiting = (_calendar(choice, ranges) for choice in OnBlackout)
    every = _cron("*/10 * * * *")
    rows = [
        Row("paused, resumed", play(every, Policy(), since, until, pause=Pause(*held))),
        Row("onBlackout skip", play(every, Policy(calendars=(skipping,)), since, until)),
        Row("onBlackout run_at_end", play(every, Policy(calendars=(waiting,)), since, until)),
    ]
    shaded = (*held, "paused, or in a blackout")
    return Picture("blackout", "pause and blackout", since, until, _clock(since, until), rows, shaded)


def _gap() -> Picture:
    since = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)
    choices = {
        "30 2 * * *, run_after": _cron("30 2 * * *", "Europe/Berlin"),
        "30 2 * * *, skip": _cron("30 2 * * *", "Europe/Berlin", gap=DstGap.SKIP),
        "*/30 * * * *": _cron("*/30 * * * *", "Europe/Berlin"),
    }
    return _night("dst_gap", "dst.gap: Berlin, 29 March 2026, 02:00 becomes 03:00", since, choices)


def _fold() -> Picture:
    since = datetime(2026, 10, 24, 23, 0, tzinfo=UTC)
    choices = {
        "30 2 * * *, once": _cron("30 2 * * *", "Europe/Berlin"),
        "30 2 * * *, twice": _cron("30 2 * * *", "Europe/Berlin", fold=DstFold.TWICE),
        "*/30 * * * *": _cron("*/30 * * * *", "Europe/Berlin"),
    }
    return _night("dst_fold", "dst.fold: Berlin, 25 October 2026, 03:00 becomes 02:00", since, choices)


def _night(name: str, title: str, since: datetime, choices: Mapping[str, Recurrence]) -> Picture:
    until = since + 180 * MINUTE
    rows = [Row(label, play(recurrence, Policy(), since, until)) for label, recurrence in choices.items()]
    [zone] = {recurrence.zone for recurrence in choices.values()}
    steps = [since + n * 30 * MINUTE for n in range(7)]
    return Picture(name, title, since, until, [(at, f"{zone.local(at):%H:%M}") for at in steps], rows)


def _cron(text: str, zone: str = "UTC", *, gap: DstGap = DstGap.RUN_AFTER, fold: DstFold = DstFold.ONCE) -> Recurrence:
    return parse(Definition(cron=text, timezone=zone, anchor=_at("00:00"), dst_gap=gap, dst_fold=fold))


def _calendar(choice: OnBlackout, ranges: list[dict[str, str]]) -> Calendar:
    return parse_calendar(f"calendar-{choice}", "UTC", choice, ranges)


def _at(clock: str) -> datetime:
    return datetime.fromisoformat(f"2026-05-04T{clock}:00+00:00")


def _clock(since: datetime, until: datetime, step: int = 20) -> list[tuple[datetime, str]]:
    count = (until - since) // (step * MINUTE)
    return [(at, f"{at:%H:%M}") for at in (since + n * step * MINUTE for n in range(count + 1))]


def draw(picture: Picture) -> str:
    """The picture as SVG."""
    height = TOP + ROW * len(picture.rows) + 58
    bottom = TOP + ROW * len(picture.rows)

    def x(at: datetime) -> float:
        share = (at - picture.since) / (picture.until - picture.since)
        return round(LEFT + 14 + share * (WIDTH - LEFT - RIGHT - 28), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(picture.title)}</title>",
        f'<style>{STYLE}</style><rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text class="title" x="12" y="24">{escape(picture.title)}</text>',
    ]
    if picture.shaded:
        start, end, what = picture.shaded
        parts.append(
            f'<rect class="away" x="{x(start)}" y="44" width="{x(end) - x(start):.1f}" height="{bottom - 44}"/>'
        )
        parts.append(f'<text class="small" x="{x(start) + 6:.1f}" y="58">{escape(what)}</text>')
    for at, label in picture.ticks:
        parts.append(f'<line class="axis" x1="{x(at)}" x2="{x(at)}" y1="{bottom - 4}" y2="{bottom + 2}"/>')
        parts.append(f'<text class="small" x="{x(at)}" y="{bottom + 16}" text-anchor="middle">{label}</text>')
    for number, row in enumerate(picture.rows):
        y = TOP + ROW * number + ROW // 2
        parts.append(f'<text class="code" x="12" y="{y + 4}">{escape(row.label)}</text>')
        parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        for lane, (start, end, cancelled) in enumerate(row.played.runs):
            if end > start:
                kind, top = "cancelled" if cancelled else "run", y + 6 + lane % 2 * 6
                width = x(end) - x(start)
                parts.append(f'<rect class="{kind}" x="{x(start)}" y="{top}" width="{width:.1f}" height="5"/>')
        for mark in row.played.marks:
            parts += _mark(mark, x(mark.slot), x(mark.at), y)
    parts += _legend(picture, bottom + 42)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _mark(mark: Mark, slot: float, at: float, y: int) -> Iterator[str]:
    """A sign at its slot; what ran later has its sign at the moment it ran, and a bow that leads there."""
    hint = f"<title>{mark.slot:%H:%M} UTC {mark.state}</title>"
    if mark.state is FireState.LATE:
        if at > slot:
            yield f'<path class="move" d="M{slot},{y} Q{(slot + at) / 2:.1f},{y - 26} {at},{y - 4}"/>'
        slot = at
    yield _sign(mark.state, slot, y, hint)


def _sign(state: FireState, x: float, y: int, hint: str = "") -> str:
    if state in (FireState.FIRED, FireState.LATE):
        return f'<circle class="{state}" cx="{x}" cy="{y}" r="6">{hint}</circle>'
    if state is FireState.COALESCED:
        return f'<circle class="COALESCED" cx="{x}" cy="{y}" r="5">{hint}</circle>'
    kind = "MISSED" if state is FireState.MISSED else "SKIPPED"
    return f'<path class="{kind}" d="M{x - 5:.1f},{y - 5}l10,10m0,-10l-10,10">{hint}</path>'


def _legend(picture: Picture, y: int) -> Iterator[str]:
    """The states that occur, in the order of the enumeration."""
    seen = {mark.state for row in picture.rows for mark in row.played.marks}
    x = LEFT + 14
    for state in FireState:
        if state in seen:
            yield _sign(state, x, y - 4)
            yield f'<text class="small" x="{x + 12}" y="{y}">{state}</text>'
            x += 40 + 8 * len(state)


def write(folder: Path = FOLDER) -> None:
    """Draw all pictures into a folder."""
    folder.mkdir(exist_ok=True)
    for picture in pictures():
        (folder / f"{picture.name}.svg").write_text(draw(picture))


if __name__ == "__main__":
    write()
