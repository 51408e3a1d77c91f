"""Shares hold whatever waits: passes are played over hours of made-up work, with a clock that is a number."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import gcd
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_app.matching import Candidate, Room, match
from flow_app.sharing import Sharer, Shares, TenantName, allot

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
LINES = st.dictionaries(
    st.sampled_from("abcdef"),
    st.tuples(st.integers(1, 6), st.integers(0, 9), st.integers(1, 12)),
    min_size=1,
)


@given(LINES, st.integers(0, 5), st.integers(0, 40))
def test_turns_are_weighted_max_min(lines: Mapping[str, tuple[int, int, int]], used: int, most: int) -> None:
    """Nobody gets a turn while somebody with work holds so much less that a turn would leave it at a lower level."""
    names = sorted(lines)
    sharers = [
        Sharer("q", name, lines[name][0], lines[name][1], min(used, lines[name][0]) if name == names[0] else 0)
        for name in names
    ]
    tasks = [(name, number) for name in names for number in range(lines[name][2])]
    waiting = [Candidate(UUID(int=at), "q", 0, NOON, None, False) for at, _ in enumerate(tasks)]
    tenants: dict[UUID, TenantName] = {
        each.task_id: ("q", name) for each, (name, _) in zip(waiting, tasks, strict=True)
    }
    found = Shares({"q": sharers}, tenants).in_turn("q", waiting)
    assert sorted(found) == waiting, "all of them, each once"

    common = gcd(*(each.weight for each in sharers))
    weights = {each.tenant: each.weight // common for each in sharers}
    held = {each.tenant: each.held for each in sharers}
    left = Counter(tenants[each.task_id][1] for each in waiting)
    for each in found:
        tenant = tenants[each.task_id][1]
        assert all(held[tenant] // weights[tenant] <= held[name] // weights[name] for name in left)
        held[tenant] += 1
        left -= Counter([tenant])
    assert sum(allot(sharers, most).values()) == most


@dataclass
class Play:
    """A queue of ``slots`` that tenants share, played event by event; ``starts`` says who started when."""

    slots: int
    weights: Mapping[str, int] = field(default_factory=dict)
    window: int = 1000
    starts: list[tuple[float, str]] = field(default_factory=list)
    busy: float = 0.0
    _lines: dict[str, deque[float]] = field(default_factory=dict)
    _running: list[tuple[float, str]] = field(default_factory=list)
    _last: tuple[str, int] = ("", 0)

    def add(self, tenant: str, *durations: float) -> None:
        self._lines.setdefault(tenant, deque()).extend(durations)

    def run(self, until: float, at: Mapping[float, Callable[[], None]] | None = None) -> None:
        events = sorted((at or {}).items(), key=lambda each: each[0])
        now = 0.0
        while now < until:
            while events and events[0][0] <= now:
                events.pop(0)[1]()
            while self._pass(now):
                pass
            ends = [self._running[0][0]] if self._running else []
            then = min([*ends, *(each[0] for each in events[:1]), until])
            self.busy += len(self._running) * (then - now)
            now = then
            while self._running and self._running[0][0] <= now:
                heapq.heappop(self._running)

    def _pass(self, now: float) -> int:
        """As a scheduler makes one: look at tenants, lock what turns allow, give it away."""
        free = self.slots - len(self._running)
        sharers = self._look() if free else []
        tasks: list[Candidate] = []
        tenants: dict[UUID, TenantName] = {}
        for tenant, most in allot(sharers, free).items():
            for _ in range(min(most, len(self._lines[tenant]))):
                tasks.append(Candidate(UUID(int=len(tasks)), "q", 0, NOON, None, False))
                tenants[tasks[-1].task_id] = ("q", tenant)
        if not tasks:
            return 0
        shares = Shares({"q": sharers}, tenants)
        given = match([_room(self.slots, len(self._running))], tasks, {}, 1000, shares).tasks
        for task_id in given:
            tenant = tenants[task_id][1]
            line = self._lines[tenant]
            heapq.heappush(self._running, (now + line.popleft(), tenant))
            self.starts.append((now, tenant))
            if not line:
                del self._lines[tenant]
        self._last = shares.served_last(given).get("q", self._last)
        return len(given)

    def _look(self) -> list[Sharer]:
        names = sorted(self._lines)
        first = bisect_left(names, self._last[0])
        held = Counter(tenant for _, tenant in self._running)
        return [
            Sharer("q", name, self.weights.get(name, 1), held[name], self._last[1] if name == self._last[0] else 0)
            for name in (names[first:] + names[:first])[: self.window]
        ]


def _room(slots: int, tasks: int) -> Room:
    return Room(UUID(int=1 << 100), None, slots, slots, tasks, 0, 1000, None, "")


class TestShares:
    #: Where the slots are no multiple of all parts together, nobody can hold what it is entitled to; what is left over
    #: goes by turns, in whole visits.
    @pytest.mark.parametrize(
        ("slots", "error"),
        [(1, 0.05), (2, 0.05), (3, 0.1), (4, 0.05), (5, 0.1), (7, 0.2), (16, 0.05), (19, 0.12), (50, 0.05)],
    )
    @pytest.mark.parametrize("weights", [(3, 1), (300, 100)])
    def test_are_as_the_weights(self, slots: int, error: float, weights: tuple[int, int]) -> None:
        play = Play(slots, dict(zip("ab", weights, strict=True)))
        random = Random(slots)
        for tenant in "ab":
            play.add(tenant, *(random.uniform(0.5, 1.5) for _ in range(1000)))
        play.run(1000 / slots)
        count = Counter(tenant for _, tenant in play.starts)
        assert 3 * (1 - error) <= count["a"] / count["b"] <= 3 * (1 + error)
        assert play.busy >= 0.98 * 1000

    def test_starve_nobody_however_small_its_weight(self) -> None:
        play = Play(4, {"a": 50})
        play.add("a", *[1.0] * 1000)
        play.add("b", *[1.0] * 10)
        play.run(100)
        count = Counter(tenant for _, tenant in play.starts)
        assert 6 <= count["b"] <= 10

    def test_serve_ten_thousand_once_before_any_twice(self) -> None:
        play = Play(16, window=64)
        names = [f"{number:05}" for number in range(10_000)]
        for name in names:
            play.add(name, 1.0, 1.0)
        play.run(10_000 / 16 + 1)
        assert sorted(tenant for _, tenant in play.starts[:10_000]) == names

    @pytest.mark.parametrize("slots", [1, 16])
    def test_delay_a_single_task_by_one_task_of_another_at_most(self, slots: int) -> None:
        play = Play(slots)
        random = Random(1)
        play.add("loud", *(random.uniform(0.1, 1.0) for _ in range(2000 * slots)))
        play.run(300, {float(at): lambda: play.add("quiet", 0.1) for at in range(10, 290, 7)})
        asked = [float(at) for at in range(10, 290, 7)]
        started = [at for at, tenant in play.starts if tenant == "quiet"]
        assert all(0 <= start - ask <= 1.0 for ask, start in zip(asked, started, strict=True))
        assert play.busy >= 0.98 * slots * 300

    def test_lend_what_is_idle(self) -> None:
        play = Play(16, {"a": 100})
        play.add("b", *[1.0] * 3000)
        play.run(100)
        assert len(play.starts) == 1600
