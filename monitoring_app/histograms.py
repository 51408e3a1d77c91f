"""Times in logarithmic buckets: two histograms are merged by adding them, and percentiles are read from the sum. Pure.

Each bound is 2^(1/4) times the one before, from one millisecond to more than a year. A percentile is given as the
geometric mean of its bucket's bounds, so it is within `RELATIVE_ERROR` of the true one; below a millisecond, within
half of one. "True" is the nearest-rank percentile, as PostgreSQL's ``percentile_disc``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import ceil, sqrt
from typing import Final

FRACTIONS: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
#: The lower bounds of all buckets but the first, in seconds; a time is in the bucket of how many are not above it.
BOUNDS: Final = tuple(0.001 * 2 ** (step / 4) for step in range(141))
RELATIVE_ERROR: Final = 2 ** (1 / 8) - 1

#: How many times are in each bucket, by its number as text: what is stored as JSON.
Histogram = Mapping[str, int]


def merged(histograms: Iterable[Histogram]) -> dict[str, int]:
    """The sum of them; zero for what is in none."""
    total: dict[str, int] = defaultdict(int)
    for histogram in histograms:
        for bucket, n in histogram.items():  # a third of the time that a Counter takes
            total[bucket] += n
    return total


def percentiles(histogram: Histogram) -> dict[str, float] | None:
    """p50, p95 and p99 in seconds; None of nothing."""
    count = sum(histogram.values())
    if not count:
        return None
    buckets = sorted((int(bucket), n) for bucket, n in histogram.items())
    return {name: _at_rank(buckets, ceil(fraction * count)) for name, fraction in FRACTIONS.items()}


def _at_rank(buckets: list[tuple[int, int]], rank: int) -> float:
    seen = 0
    for bucket, n in buckets:
        seen += n
        if seen >= rank:
            return _middle(bucket)
    raise ValueError("the rank is beyond all that was counted")


def _middle(bucket: int) -> float:
    if bucket == 0:
        return BOUNDS[0] / 2
    return sqrt(BOUNDS[bucket - 1] * BOUNDS[min(bucket, len(BOUNDS) - 1)])
