"""How long a connection may take, by what it does and how it gets on."""

from __future__ import annotations

from math import inf

import pytest

from scheduler_project.web.patience import MOVE_AT_LEAST, Phase, Watch, allowed

CLOCK = 100.0


class TestAllowed:
    @pytest.mark.parametrize(
        ("phase", "seconds"),
        [
            (Phase.HEAD, 10),
            (Phase.BODY, 30),
            (Phase.RESPONSE, 30),
            (Phase.CLOSING, 3),
            (Phase.IDLE, inf),
            (Phase.SERVING, inf),
        ],
    )
    def test_for_each_phase(self, phase: Phase, seconds: float) -> None:
        assert allowed(phase) == seconds


class TestWatch:
    def test_is_counted_from_the_connections_start(self) -> None:
        watch = Watch(since=CLOCK)
        assert not watch.is_overdue(Phase.HEAD, request=0, moved=0, now=CLOCK + 9.9)
        assert watch.is_overdue(Phase.HEAD, request=0, moved=0, now=CLOCK + 10.1)

    def test_counts_a_drip_as_what_it_is(self) -> None:
        watch = Watch(since=CLOCK)
        seen = [watch.is_overdue(Phase.BODY, request=1, moved=second, now=CLOCK + second) for second in range(32)]
        assert seen == [False] * 31 + [True]

    def test_begins_anew_with_each_phase_and_request(self) -> None:
        watch = Watch(since=CLOCK)
        assert not watch.is_overdue(Phase.BODY, request=1, moved=5, now=CLOCK + 29)
        assert not watch.is_overdue(Phase.RESPONSE, request=1, moved=5, now=CLOCK + 58)
        assert not watch.is_overdue(Phase.RESPONSE, request=2, moved=5, now=CLOCK + 87)
        assert watch.is_overdue(Phase.RESPONSE, request=2, moved=5, now=CLOCK + 118)

    @pytest.mark.parametrize("phase", [Phase.BODY, Phase.RESPONSE])
    def test_waits_on_for_what_goes_well(self, phase: Phase) -> None:
        watch = Watch(since=CLOCK)
        seen = [
            watch.is_overdue(phase, request=1, moved=second * MOVE_AT_LEAST // 20, now=CLOCK + second)
            for second in range(600)
        ]
        assert not any(seen)

    @pytest.mark.parametrize("phase", [Phase.BODY, Phase.RESPONSE])
    def test_gives_a_burst_no_more_than_another_while(self, phase: Phase) -> None:
        watch = Watch(since=CLOCK)
        watch.is_overdue(phase, request=1, moved=0, now=CLOCK)
        assert not watch.is_overdue(phase, request=1, moved=100 * MOVE_AT_LEAST, now=CLOCK + 29)
        assert watch.is_overdue(phase, request=1, moved=100 * MOVE_AT_LEAST, now=CLOCK + 60)

    def test_lets_no_flood_stretch_a_head(self) -> None:
        watch = Watch(since=CLOCK)
        assert watch.is_overdue(Phase.HEAD, request=0, moved=10 * MOVE_AT_LEAST, now=CLOCK + 11)

    @pytest.mark.parametrize(
        ("seconds", "moved", "slow"),
        [(1.9, 0, False), (2.0, 0, True), (2.0, 65_535, True), (2.0, 65_536, False), (20.0, 65_536, True)],
    )
    def test_tells_what_hardly_moves(self, seconds: float, moved: int, *, slow: bool) -> None:
        watch = Watch(Phase.RESPONSE, request=1, since=CLOCK, moved=500)
        assert watch.is_slow(moved=500 + moved, now=CLOCK + seconds) is slow
