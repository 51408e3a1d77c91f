"""Series of a time as what an SVG is drawn of: bars, lines, the scale beside them, and the same as a table. Pure.

A chart is as wide as it has steps, and `HEIGHT` high; the page stretches it to its place. Text stands outside of it, so
that it is not stretched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

HEIGHT: Final = 100

#: A value of each step; None: nothing is known of it, and the line has a gap.
Values = Sequence[float | None]
#: Where a value is, from 0 at the bottom to 1 at the top.
Scale = Callable[[float], float]
Show = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Series:
    """One thing that is followed over time. ``tone`` is a class of its colour, ``dash`` one of its line."""

    name: str
    tone: str
    values: Values
    dash: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A step of a chart of bars: its number, and class, top and height of each part."""

    step: int
    parts: Sequence[tuple[str, float, float]]


@dataclass(frozen=True, slots=True)
class Tick:
    """A value of the scale, and how far down it stands."""

    y: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What a page draws."""

    id: str
    title: str
    note: str
    series: Sequence[Series]
    bars: Sequence[Bar]
    lines: Sequence[tuple[Series, str]]
    ticks: Sequence[Tick]
    #: Each step in words, for whoever points at it.
    steps: Sequence[str]
    #: When, and each series in words, the latest first; steps of which nothing is known are left out.
    table: Sequence[tuple[str, Sequence[str]]]

    @property
    def is_empty(self) -> bool:
        return not self.table


def bars(key: str, title: str, series: Sequence[Series], times: Sequence[str], *, show: Show, note: str = "") -> Chart:
    """Values of a step on top of each other, the first one below. None counts as zero."""
    totals = [sum(value or 0 for value in values) for values in zip(*(each.values for each in series), strict=True)]
    most = max(totals, default=0)
    known = [step for step in range(len(times)) if totals[step]]
    return Chart(
        id=key, title=title, note=note, series=series, lines=(),
        bars=[Bar(step, _parts(series, step, most)) for step in known],
        ticks=_ticks(most, _scale(most), show),
        steps=_words(series, times, show), table=_table(series, times, known, show),
    )  # fmt: skip


def lines(
    key: str,
    title: str,
    series: Sequence[Series],
    times: Sequence[str],
    *,
    show: Show,
    note: str = "",
    least: float | None = None,
) -> Chart:
    """A line for each series. ``least``: the scale is logarithmic, and begins there."""
    most = max((value for each in series for value in each.values if value is not None), default=0.0)
    scale = _scale(most, least)
    known = [step for step in range(len(times)) if any(each.values[step] is not None for each in series)]
    return Chart(
        id=key, title=title, note=note, series=series, bars=(),
        lines=[(each, _path(each.values, scale)) for each in series],
        ticks=_ticks(most, scale, show, least), steps=_words(series, times, show),
        table=_table(series, times, known, show),
    )  # fmt: skip


def _parts(series: Sequence[Series], step: int, most: float) -> list[tuple[str, float, float]]:
    parts, top = [], float(HEIGHT)
    for each in series:
        if value := each.values[step]:
            height = HEIGHT * value / most
            top -= height
            parts.append((each.tone, round(top, 2), round(height, 2)))
    return parts


def _scale(most: float, least: float | None = None) -> Scale:
    if least is None:
        return lambda value: value / most if most else 0.0
    top = max(most, least * 10)
    return lambda value: math.log(max(value, least) / least) / math.log(top / least)


def _ticks(most: float, scale: Scale, show: Show, least: float | None = None) -> list[Tick]:
    """The top and the bottom, and what is halfway between them."""
    if not most:
        return []
    low = least or 0.0
    top = most if least is None else max(most, least * 10)
    middle = top / 2 if least is None else math.sqrt(low * top)
    return [Tick(_down(scale(value)), show(value)) for value in (top, middle, low)]


def _path(values: Values, scale: Scale) -> str:
    """A line through the middle of each step, with a gap where nothing is known; a dot where both neighbours are."""
    path, drawing = [], False
    for step, value in enumerate(values):
        if value is None:
            drawing = False
            continue
        y = _down(scale(value))
        path.append(f"L{step}.5 {y}" if drawing else f"M{step}.5 {y}h.01")
        drawing = True
    return "".join(path)


def _down(share: float) -> float:
    return round(HEIGHT * (1 - share), 2)


def _words(series: Sequence[Series], times: Sequence[str], show: Show) -> list[str]:
    words = []
    for step, time in enumerate(times):
        known = [(each.name, value) for each in series if (value := each.values[step]) is not None]
        said = ", ".join(f"{name} {show(value)}" for name, value in known)
        words.append(f"{time} UTC: {said or 'nothing is known'}")
    return words


def _table(
    series: Sequence[Series], times: Sequence[str], known: Sequence[int], show: Show
) -> list[tuple[str, list[str]]]:
    def cell(value: float | None) -> str:
        return "" if value is None else show(value)

    return [(times[step], [cell(each.values[step]) for each in series]) for step in reversed(known)]
