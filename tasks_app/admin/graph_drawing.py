"""Where the boxes and lines of a picture of a graph lie, in pixels, and how long a text in one may be. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from access_app.texts import UNSEEN

WIDTH: Final = 184
HEIGHT: Final = 60
_BETWEEN: Final = 20
_MARGIN: Final = 16
#: A layer of more has several rows: nobody reads a picture that is fifty screens wide.
MOST_IN_A_ROW: Final = 6
#: Between rows of one layer, and between layers, where lines have to bend.
_ROW_GAP: Final = 30
_LAYER_GAP: Final = 56
#: How far a line swings out, of which three quarters are seen: past a box, and not past the margin.
_SWING: Final = 138
#: So many letters find room in a line of a box.
LETTERS: Final = 25


@dataclass(frozen=True, slots=True)
class Place:
    """The upper left corner of a box."""

    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Where everything is, and how large the picture is for that."""

    places: Mapping[Hashable, Place]
    width: int
    height: int


def plan_of(layers: Sequence[Sequence[Hashable]]) -> Plan:
    """Layers from top to bottom, each in the middle."""
    across = max((min(len(layer), MOST_IN_A_ROW) for layer in layers), default=0)
    width = 2 * _MARGIN + across * WIDTH + max(0, across - 1) * _BETWEEN
    places: dict[Hashable, Place] = {}
    y = _LAYER_GAP // 2
    for layer in layers:
        for row in _rows(layer):
            left = (width - len(row) * WIDTH - (len(row) - 1) * _BETWEEN) // 2
            places |= {key: Place(left + place * (WIDTH + _BETWEEN), y) for place, key in enumerate(row)}
            y += HEIGHT + _ROW_GAP
        y += _LAYER_GAP - _ROW_GAP
    return Plan(places, width, y - _LAYER_GAP + _LAYER_GAP // 2)


def line_between(upper: Place, lower: Place) -> str:
    """A curve from the lower edge of one box to the upper edge of another, as the ``d`` of an SVG path.

    Where it leads straight down past other boxes, it swings out, so that it is not hidden behind them.
    """
    from_x, from_y = upper.x + WIDTH // 2, upper.y + HEIGHT
    to_x, to_y = lower.x + WIDTH // 2, lower.y
    bend, swing = _LAYER_GAP // 2 + 6, 0
    if abs(to_x - from_x) < WIDTH and to_y - from_y >= HEIGHT:
        bend, swing = (to_y - from_y) // 4, _SWING if from_x >= to_x else -_SWING
    return f"M{from_x} {from_y}C{from_x + swing} {from_y + bend} {to_x + swing} {to_y - bend} {to_x} {to_y}"


def cut(text: str, letters: int = LETTERS) -> str:
    """As much of a text as finds room; what cannot be seen, or turns text round, is one sign that can be seen."""
    shown = UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text[: 4 * letters].replace("\n", " "))
    room = letters
    for place, letter in enumerate(shown):
        room -= _width(letter)
        if room < 0:
            return shown[: max(0, place - 1)] + "…"
    return shown + ("…" if len(text) > 4 * letters else "")


def _width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _rows(layer: Iterable[Hashable]) -> Iterator[list[Hashable]]:
    """Rows of nearly the same length."""
    keys = list(layer)
    count = -(-len(keys) // MOST_IN_A_ROW)
    for row in range(count):
        yield keys[row * len(keys) // count : (row + 1) * len(keys) // count]
