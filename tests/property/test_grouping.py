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
        self.open: dict[int, list[int]] = {}
        self.visible: set[int] = set()
        self.read: Counter[int] = Counter()
        self.state, self.noted_xid = (0, 0, 0), 0

    def begin(self) -> None:
        self.xid += 1
        self.open[self.xid] = []

    def write(self, which: int) -> None:
        if self.open:
            rows = self.open[sorted(self.open)[which % len(self.open)]]
            rows.append(self.next_id)
            self.next_id += 1

    def end(self, which: int, *, commits: bool) -> None:
        if self.open:
            rows = self.open.pop(sorted(self.open)[which % len(self.open)])
            self.visible |= set(rows) if commits else set()

    def look(self) -> None:
        """One transaction of the reader, which has a number of its own; others may end between its two statements."""
        oldest = min(self.open, default=self.xid + 1)
        highest, (read, sure, _) = max(self.visible, default=0), self.state
        following = [min((each for each in self.visible if each > low), default=highest) for low in (read, sure)]
        span = next_span(Mark(*self.state, highest, self.noted_xid <= oldest, *following))
        self.xid += 1
        self.read.update(each for each in self.visible if span.low < each <= span.high)
        self.state = (span.read_id, span.sure_id, span.noted_id)
        if span.notes:
            self.noted_xid = self.xid


STEPS = st.one_of(
    st.just(("begin", 0)),
    st.tuples(st.just("write"), st.integers(0, 9)),
    st.tuples(st.sampled_from(["commit", "abort"]), st.integers(0, 9)),
    st.just(("look", 0)),
)


class TestNextSpan:
    @given(steps=st.lists(STEPS, max_size=60), most=st.integers(1, 3))
    def test_passes_by_no_execution_and_reads_none_more_than_twice(
        self, steps: list[tuple[str, int]], most: int
    ) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(grouping, "MOST_READ", most)
            world = World()
            for step, which in steps:
                if step in ("commit", "abort"):
                    world.end(which, commits=step == "commit")
                elif step == "write":
                    world.write(which)
                else:
                    getattr(world, step)()
            while world.open:
                world.end(0, commits=True)
            for _ in range(3 * len(steps) + 9):
                world.look()
            assert set(world.read) == world.visible
            assert max(world.read.values(), default=0) <= 2
