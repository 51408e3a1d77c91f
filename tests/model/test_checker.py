"""The checker itself, on graphs small enough to see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.model.checker import Step, TooLarge, check


class Graph:
    """States are numbers, 0 is the first; ``edges`` lead from one to others, and ``unfair`` are pairs of faults."""

    def __init__(
        self, edges: dict[int, list[int]], *, done: int, bad: int = -1, unfair: tuple[tuple[int, int], ...] = ()
    ):
        self.edges, self.goal, self.bad, self.unfair = edges, done, bad, unfair

    def initial(self) -> int:
        return 0

    def steps(self, state: int) -> Iterator[Step[int]]:
        for after in self.edges.get(state, []):
            yield Step("go", (state, after), (state, after) not in self.unfair, after)

    def broken_invariant(self, state: int) -> str | None:
        return "bad" if state == self.bad else None

    def broken_law(self, state: int, step: Step[int]) -> str | None:
        return "backwards" if step.after < state else None

    def done(self, state: int) -> bool:
        return state == self.goal

    def canonical(self, state: int) -> int:
        return state % 100

    def describe(self, before: int, after: int) -> list[str]:
        return [f"{before} became {after}"]


def found(graph: Graph) -> tuple[str, int] | None:
    violation = check(graph).violation
    return None if violation is None else (violation.broken.split(":")[0], len(violation))


class TestCheck:
    def test_counts_every_state_and_step_once(self) -> None:
        report = check(Graph({0: [1, 2], 1: [3], 2: [3], 3: [3]}, done=3))
        assert (report.states, report.steps, report.depth, report.taken) == (4, 4, 2, frozenset({"go"}))
        assert report.violation is None

    def test_takes_states_that_differ_in_names_for_one(self) -> None:
        assert check(Graph({0: [1, 101], 1: [2], 101: [2]}, done=2)).states == 3

    def test_finds_a_shortest_way_to_what_must_not_be(self) -> None:
        assert found(Graph({0: [1, 4], 1: [2], 2: [3], 3: [5], 4: [5]}, done=9, bad=5)) == ("bad", 2)

    def test_finds_a_first_state_that_must_not_be(self) -> None:
        assert found(Graph({0: [1]}, done=1, bad=0)) == ("bad (at the beginning)", 0)

    def test_finds_a_step_that_must_not_be(self) -> None:
        assert found(Graph({0: [1], 1: [0, 2]}, done=2)) == ("backwards", 2)

    def test_finds_where_nothing_can_happen(self) -> None:
        assert found(Graph({0: [1, 2], 1: [1]}, done=2)) == ("deadlock", 1)

    def test_finds_from_where_the_end_is_not_reached(self) -> None:
        """Something can always happen in 2, but nothing comes of it; the way there is told to where it is too late."""
        assert found(Graph({0: [1, 9], 1: [2], 2: [102]}, done=9)) == ("stuck", 1)

    def test_does_not_count_on_faults(self) -> None:
        """That a crash would help is no way out."""
        graph = {0: [1, 5], 1: [2, 3], 2: [3], 3: [4], 4: [5]}
        assert found(Graph(graph, done=5)) is None
        assert found(Graph(graph, done=5, unfair=((4, 5),))) == ("stuck", 1)

    def test_tells_the_way_step_by_step(self) -> None:
        text = str(check(Graph({0: [101], 1: [2], 101: [2]}, done=9, bad=2)))
        assert text.splitlines()[1:] == [
            "bad (2 steps)",
            "   1  go(0, 101)",
            "          0 became 101",
            "   2  go(101, 2)",
            "          101 became 2",
        ]

    def test_gives_up_when_there_are_too_many_states(self) -> None:
        with pytest.raises(TooLarge):
            check(Graph({n: [n + 1] for n in range(50)}, done=50), most_states=10)
