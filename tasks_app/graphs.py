"""Which tasks of a call wait for each other, and which wait for one that is refused: graphs of places. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

#: More of a circle is not spelt out.
MOST_SPELT: Final = 20


def circles(parents: Mapping[int, Iterable[int]], names: Mapping[int, str]) -> dict[int, str]:
    """Place → the circle that it is part of, spelt out, of tasks that wait for each other."""
    left = {place: set(above) for place, above in parents.items()}
    below: dict[int, list[int]] = {}
    for place, above in left.items():
        for each in above:
            below.setdefault(each, []).append(place)
    ready = [place for place in below if not left.get(place)]
    while ready:
        done = ready.pop()
        for place in below.get(done, ()):
            left[place].discard(done)
            if not left[place]:
                ready.append(place)
    found: dict[int, str] = {}
    for start in [place for place, above in left.items() if above]:
        if start not in found:
            walked, place = _walk(start, left, found)
            found |= dict.fromkeys(walked, found.get(place) or _spelt(walked[walked.index(place) :], names))
    return found


def below_refused(parents: Mapping[int, Iterable[int]], refused: Collection[int]) -> Iterator[tuple[int, int]]:
    """The places of tasks that depend, over whatever others, on refused ones; each with the one just above it."""
    below: dict[int, list[int]] = {}
    for place, above in parents.items():
        for each in above:
            below.setdefault(each, []).append(place)
    seen, left = set(refused), list(refused)
    while left:
        parent = left.pop()
        for place in below.get(parent, ()):
            if place not in seen:
                seen.add(place)
                left.append(place)
                yield place, parent


def _walk(start: int, left: Mapping[int, set[int]], found: Mapping[int, str]) -> tuple[list[int], int]:
    """Upwards until a place comes again, or one of a circle that is known: those walked over, and that place."""
    walked: dict[int, None] = {}
    place = start
    while place not in walked and place not in found:
        walked[place] = None
        place = min(left[place])
    return list(walked), place


def _spelt(circle: Sequence[int], names: Mapping[int, str]) -> str:
    shown = [names.get(each, f"tasks.{each}") for each in circle[:MOST_SPELT]]
    if len(circle) > MOST_SPELT:
        shown.append(f"{len(circle) - MOST_SPELT} others")
    return f"these wait for each other: {' waits for '.join([*shown, shown[0]])}"
