"""Percentiles from buckets are as near to the true ones as is said, also of several histograms together."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring_app.histograms import BOUNDS, FRACTIONS, RELATIVE_ERROR, merged, percentiles

TIMES = st.lists(st.floats(0, 30_000_000), min_size=1, max_size=200)


def histogram_of(times: list[float]) -> Counter[str]:
    return Counter(str(bisect_right(BOUNDS, time)) for time in times)


class TestPercentiles:
    @given(TIMES, TIMES)
    def test_of_merged_histograms_are_within_the_stated_error(self, some: list[float], others: list[float]) -> None:
        found = percentiles(merged([histogram_of(some), histogram_of(others)]))
        assert found is not None
        times = sorted([*some, *others])
        for name, fraction in FRACTIONS.items():
            true = times[ceil(fraction * len(times)) - 1]
            assert abs(found[name] - true) <= max(0.0005, true * RELATIVE_ERROR * 1.000001), name

    def test_of_nothing_are_none(self) -> None:
        assert percentiles({}) is None

    @pytest.mark.parametrize(("time", "bucket"), [(0, 0), (0.000999, 0), (0.001, 1), (86_400, 106), (9e9, 141)])
    def test_begin_with_a_bucket_for_every_time(self, time: float, bucket: int) -> None:
        [(found, _)] = histogram_of([time]).items()
        assert int(found) == bucket
        assert percentiles({found: 1})
