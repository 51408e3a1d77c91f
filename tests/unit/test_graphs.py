"""Circles among tasks that depend on each other: all are found, nothing else is, in time that grows with the edges."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from tasks_app.graphs import below_refused, circles

GRAPHS = st.dictionaries(st.integers(0, 7), st.lists(st.integers(0, 7), max_size=4), max_size=8)


def reachable(parents: dict[int, list[int]], start: int) -> set[int]:
    """What a task waits for, over whatever others."""
    seen: set[int] = set()
    left = list(parents.get(start, ()))
    while left:
        place = left.pop()
        if place not in seen:
            seen.add(place)
            left += parents.get(place, ())
    return seen


class TestCircles:
    @given(GRAPHS)
    def test_are_what_some_task_waits_for_itself_in(self, parents: dict[int, list[int]]) -> None:
        in_one = {place for place in parents if place in reachable(parents, place)}
        below = {place for place in parents if reachable(parents, place) & in_one}
        assert circles(parents, {}).keys() == in_one | below

    def test_of_ten_thousand_are_found_in_a_moment(self) -> None:
        count = 10_000
        chain = {place: [place - 1, max(0, place - 2)] for place in range(2, count)} | {1: [0], 0: [count - 1]}
        below = {place: [place - 1] for place in range(count, 2 * count)}
        began = time.process_time()
        found = circles(chain | below, {})
        assert len(found) == 2 * count
        assert max(map(len, found.values())) < 1000
        assert time.process_time() - began < 2


class TestBelowRefused:
    @given(GRAPHS, st.sets(st.integers(0, 7), max_size=3))
    def test_is_all_that_depends_on_a_refused_one(self, parents: dict[int, list[int]], refused: set[int]) -> None:
        found = dict(below_refused(parents, refused))
        assert found.keys() == {place for place in parents if reachable(parents, place) & refused} - refused
        assert all(parent in parents[place] for place, parent in found.items())
