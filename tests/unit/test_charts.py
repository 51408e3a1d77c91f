"""What charts are drawn of: bars on top of each other, lines with gaps, scales, and the same in words."""

from __future__ import annotations

import pytest

from monitoring_app.charts import Series, bars, lines

TIMES = ["12:00", "12:01", "12:02", "12:03"]


def show(value: float) -> str:
    return f"{value:g}"


class TestBars:
    def test_stand_on_each_other_up_to_the_highest(self) -> None:
        made = bars("a", "A", [Series("x", "green", [1, 0, 3, 0]), Series("y", "red", [1, 0, 1, 0])], TIMES, show=show)
        assert [(bar.step, list(bar.parts)) for bar in made.bars] == [
            (0, [("green", 75, 25), ("red", 50, 25)]),
            (2, [("green", 25, 75), ("red", 0, 25)]),
        ]
        assert [(tick.y, tick.text) for tick in made.ticks] == [(0, "4"), (50, "2"), (100, "0")]
        assert made.table == [("12:02", ["3", "1"]), ("12:00", ["1", "1"])]

    def test_of_nothing_are_empty(self) -> None:
        made = bars("a", "A", [Series("x", "green", [0, 0, 0, 0])], TIMES, show=show)
        assert made.is_empty
        assert not made.bars
        assert not made.ticks


class TestLines:
    def test_have_gaps_where_nothing_is_known_and_dots_between_them(self) -> None:
        made = lines("a", "A", [Series("x", "green", [4, 2, None, 0])], TIMES, show=show)
        [(_, path)] = made.lines
        assert path == "M0.5 0.0h.01L1.5 50.0M3.5 100.0h.01"
        assert made.steps[2] == "12:02 UTC: nothing is known"
        assert [time for time, _ in made.table] == ["12:03", "12:01", "12:00"]

    @pytest.mark.parametrize(("value", "y"), [(0.0001, 100.0), (0.001, 100.0), (0.1, 50.0), (10, 0.0)])
    def test_of_times_are_drawn_by_their_magnitude(self, value: float, y: float) -> None:
        made = lines("a", "A", [Series("x", "green", [10, value])], TIMES[:2], show=show, least=0.001)
        [(_, path)] = made.lines
        assert path.endswith(f"L1.5 {y}")
        assert [tick.text for tick in made.ticks] == ["10", "0.1", "0.001"]
