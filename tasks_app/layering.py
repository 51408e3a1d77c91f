"""A graph of what waits for what, in layers: everything lies below all that it waits for. Pure.

The layer of a node is the length of the longest way down to it, so there are as few layers as that allows. The order
within one follows the middle of a node's neighbours (the barycentre heuristic of Sugiyama, Tagawa and Toda, "Methods
for Visual Understanding of Hierarchical System Structures", 1981), which keeps lines from crossing.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import TypeVar

Node = TypeVar("Node", bound=Hashable)


def layers_of(nodes: Sequence[Node], edges: Iterable[tuple[Node, Node]]) -> list[list[Node]]:
    """Nodes in layers, the first one first. An edge is what waits, and what it waits for.

    Edges of what is no node are left out. There are no circles; should there be one, its nodes, and those below them,
    come last.
    """
    above, below = _neighbours(nodes, edges)
    depths = _depths(above, below)
    layers: list[list[Node]] = [[] for _ in range(max(depths.values(), default=-1) + 1)]
    for node in nodes:
        layers[depths[node]].append(node)
    for going_down in (True, False, True):  # more sweeps hardly change anything
        _sweep(layers if going_down else layers[::-1], above if going_down else below)
    return layers


def _neighbours(
    nodes: Sequence[Node], edges: Iterable[tuple[Node, Node]]
) -> tuple[dict[Node, list[Node]], dict[Node, list[Node]]]:
    above: dict[Node, list[Node]] = {node: [] for node in nodes}
    below: dict[Node, list[Node]] = {node: [] for node in nodes}
    for child, parent in edges:
        if child in above and parent in above:
            above[child].append(parent)
            below[parent].append(child)
    return above, below


def _depths(above: Mapping[Node, list[Node]], below: Mapping[Node, list[Node]]) -> dict[Node, int]:
    left = {node: len(parents) for node, parents in above.items()}
    depths = {node: 0 for node, parents in above.items() if not parents}
    ready = list(depths)
    for node in ready:  # it grows meanwhile
        for child in below[node]:
            depths[child] = max(depths.get(child, 0), depths[node] + 1)
            left[child] -= 1
            if not left[child]:
                ready.append(child)
    last = max((depths[node] for node in ready), default=-1) + 1
    return {node: last if left[node] else depths[node] for node in above}


def _sweep(layers: Sequence[list[Node]], neighbours: Mapping[Node, list[Node]]) -> None:
    """Order each layer by the middle of its nodes' neighbours in those before it; who has none stays where it was."""
    places: dict[Node, float] = {}
    for layer in layers:
        own = {node: (place + 0.5) / len(layer) for place, node in enumerate(layer)}
        middles = {node: [places[each] for each in neighbours[node] if each in places] for node in layer}
        layer.sort(key=lambda node: fmean(middles[node]) if middles[node] else own[node])
        places |= {node: (place + 0.5) / len(layer) for place, node in enumerate(layer)}
