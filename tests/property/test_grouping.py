"""Whatever commits when: every execution is read once it can be, and none is read over and over."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_app import grouping
from tasks_app.grouping import Mark, next_span


class World:
    """Transactions that take the ids of their rows one by one, and commit in any order; one reader."""

    def __init__(self) -> None:
        self.xid, self.next_id = 0, 1
        self.open: dict[int, tuple[int, list[int]]] = {}
        self.visible: set[int] = set()
        self.read: Counter[int] = Counter()
        self.state, self.noted_xid = (0, 0, 0), 0

    def write(self, writer: int) -> None:
        """The first row begins a transaction, and gives it its number before the row has one."""
        if writer not in self.open:
            self.xid += 1
            self.open[writer] = (self.xid, [])
        self.open[writer][1].append(self.next_id)
        self.next_id += 1

    def end(self, writer: int, *, commits: bool) -> None:
        _, rows = self.open.pop(writer, (0, []))
        self.visible |= set(rows) if commits else set()

    def look(self) -> None:
        """One transaction of the reader, which has a number of its own; others may end between its two statements."""
        oldest = min((xid for xid, _ in self.open.values()), default=self.xid + 1)
        highest, (read, sure, _) = max(self.visible, default=0), self.state
        following = [min((each for each in self.visible if each > low), default=highest) for low in (read, sure)]
        span = next_span(Mark(*self.state, highest, self.noted_xid <= oldest, *following))
        self.xid += 1
        self.read.update(each for each in self.visible if span.low < each <= span.high)
        self.state = (span.read_id, span.sure_id, span.noted_id)
        if span.notes:
            self.noted_xid = self.xid


WRITERS = range(3)
STEPS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(WRITERS)),
    st.tuples(st.sampled_from(["commit", "commit", "abort"]), st.sampled_from(WRITERS)),
    st.just(("look", 0)),
)


class TestNextSpan:
    @given(steps=st.lists(STEPS, min_size=10, max_size=60), most=st.integers(1, 3))
    def test_passes_by_no_execution_and_reads_none_more_than_twice(
        self, steps: list[tuple[str, int]], most: int
    ) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(grouping, "MOST_READ", most)
            world = World()
            for step, writer in steps:
                if step == "write":
                    world.write(writer)
                elif step == "look":
                    world.look()
                else:
                    world.end(writer, commits=step == "commit")
            for writer in WRITERS:
                world.end(writer, commits=True)
            for _ in range(3 * len(steps)):
                world.look()
            assert set(world.read) == world.visible
            assert max(world.read.values(), default=0) <= 2
