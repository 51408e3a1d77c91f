"""The statistics of the benchmarks."""

from __future__ import annotations

import pytest

from tests.support.figures import number, percentile, slope, spread_ms, summary


class TestPercentile:
    @pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)])
    def test_is_a_measured_value(self, share: float, value: int) -> None:
        assert percentile(range(100, 0, -1), share) == value

    def test_of_few_values_is_one_of_them(self) -> None:
        assert (percentile([3, 1], 0.5), percentile([3, 1], 0.99), percentile([7], 0.01)) == (1, 3, 7)

    def test_of_nothing_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="no values"):
            percentile([], 0.5)


def test_spread_is_in_milliseconds() -> None:
    assert spread_ms([0.001, 0.002, 0.004], "x_") == {"x_p50": 2.0, "x_p95": 4.0, "x_p99": 4.0, "x_max": 4.0}


@pytest.mark.parametrize(("values", "expected"), [([5, 5, 5], 0), ([100, 99, 98], -1 / 99), ([1], 0), ([0, 0], 0)])
def test_slope_is_a_share_of_the_mean(values: list[float], expected: float) -> None:
    assert slope(values) == pytest.approx(expected)


class TestText:
    @pytest.mark.parametrize(
        ("value", "text"),
        [(12345.6, "12,346"), (100, "100"), (99.44, "99.4"), (1.234, "1.23"), (0.01234, "0.012"), (0, "0"), (3, "3")],
    )
    def test_has_as_many_digits_as_mean_something(self, value: float, text: str) -> None:
        assert number(value) == text

    def test_gives_the_range_when_there_is_one(self) -> None:
        assert summary([3.0, 1.0, 2.0]) == "2 (1\u20133)"
        assert (summary([2.0, 2.0]), summary([])) == ("2", "\u2013")
