"""The order in which priorities age: what follows from it, whatever the tasks are."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from flow_app.ageing import order_by
from flow_app.matching import Candidate

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ages = st.integers(1, 86_400)
candidates = st.lists(
    st.tuples(st.integers(-100, 100), st.integers(0, 10**13)).map(
        lambda each: Candidate(UUID(int=0), "q", each[0], NOW - timedelta(microseconds=each[1]), None, False)
    ),
    max_size=40,
).map(lambda rows: [each._replace(task_id=UUID(int=number)) for number, each in enumerate(rows)])


@given(candidates, ages, st.integers(0, 10))
def test_the_first_of_all_are_among_the_first_of_each_priority(tasks: list[Candidate], age: int, most: int) -> None:
    order = order_by({"q": age})
    lines: dict[int, list[Candidate]] = defaultdict(list)
    for each in sorted(tasks, key=order_by({})):
        lines[each.priority].append(each)
    seen = [each for line in lines.values() for each in line[:most]]
    assert sorted(seen, key=order)[:most] == sorted(tasks, key=order)[:most]


@given(candidates, ages)
def test_one_comes_first_when_it_has_waited_as_much_longer_as_the_levels_are_worth(
    tasks: list[Candidate], age: int
) -> None:
    found = sorted(tasks, key=order_by({"q": age}))
    for first, second in pairwise(found):
        longer, levels = second.run_at - first.run_at, second.priority - first.priority
        assert longer >= timedelta(seconds=levels * age)


@given(candidates)
def test_other_queues_go_by_priority(tasks: list[Candidate]) -> None:
    assert sorted(tasks, key=order_by({"other": 5})) == sorted(tasks, key=order_by({}))
