"""Layers of a graph: every edge leads down, in as few layers as the longest way has steps, and lines cross little."""

from __future__ import annotations

import random
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from tasks_app.layering import layers_of

#: What waits has the larger number: no circles.
EDGES = st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)).filter(lambda pair: pair[0] > pair[1]), max_size=90)


def longest_way(edges: list[tuple[int, int]], nodes: int) -> int:
    """By trying all: the most edges that follow each other."""
    longest = [0] * nodes
    for child in range(nodes):
        longest[child] = max((longest[parent] + 1 for below, parent in edges if below == child), default=0)
    return max(longest)


def crossings(layers: list[list[int]], edges: list[tuple[int, int]]) -> int:
    """Pairs of edges between the same two layers that cross."""
    at = {node: (depth, place) for depth, layer in enumerate(layers) for place, node in enumerate(layer)}
    ends = [(at[parent], at[child]) for child, parent in edges if at[child][0] == at[parent][0] + 1]
    return sum(a[0] == c[0] and (a[1] - c[1]) * (b[1] - d[1]) < 0 for (a, b), (c, d) in combinations(ends, 2))


class TestLayers:
    @given(EDGES)
    def test_lead_every_edge_down_and_are_no_more_than_that_needs(self, edges: list[tuple[int, int]]) -> None:
        layers = layers_of(range(30), edges)
        depths = {node: depth for depth, layer in enumerate(layers) for node in layer}
        assert sorted(depths) == list(range(30))
        assert all(depths[child] > depths[parent] for child, parent in edges)
        assert len(layers) == longest_way(edges, 30) + 1
        assert all(layers)

    def test_leave_out_what_is_no_node(self) -> None:
        assert layers_of(["a", "b"], [("b", "a"), ("b", "gone"), ("gone", "a")]) == [["a"], ["b"]]
        assert layers_of([], [("b", "a")]) == []

    def test_put_a_circle_last_instead_of_failing(self) -> None:
        layers = layers_of(["a", "b", "c", "d"], [("b", "a"), ("c", "d"), ("d", "c")])
        assert [sorted(layer) for layer in layers] == [["a"], ["b"], ["c", "d"]]

    def test_are_ordered_so_that_chains_do_not_cross(self) -> None:
        """Ten chains whose members come in any order."""
        names = list(range(50))
        random.Random(7).shuffle(names)
        edges = [
            (names[10 * step + chain], names[10 * step - 10 + chain]) for step in range(1, 5) for chain in range(10)
        ]
        assert crossings(layers_of(range(50), edges), edges) == 0
