"""Statistics of measured values, and how they are written. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

RANGE = "\u2013"


def percentile(values: Iterable[float], share: float) -> float:
    """The value that ``share`` (0 … 1) of the values lie at or below: one that was measured, never between two."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]


def spread_ms(seconds: Iterable[float], prefix: str = "") -> dict[str, float]:
    """p50, p95, p99 and max of times given in seconds, in milliseconds."""
    values = [1000 * value for value in seconds]
    found = {name: percentile(values, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
    return {f"{prefix}{name}": round(value, 3) for name, value in (found | {"max": max(values)}).items()}


def slope(values: Sequence[float]) -> float:
    """The least-squares slope of values at 0, 1, 2 …, as a share of their mean for each step."""
    if len(values) < 2:
        return 0.0
    mean = statistics.fmean(values)
    return statistics.linear_regression(range(len(values)), values).slope / mean if mean else 0.0


def number(value: float) -> str:
    """A figure with as many digits as mean something."""
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 or not size else f"{value:.3f}"


def summary(values: Sequence[float]) -> str:
    """The median, and from 2 different values on the range behind it."""
    if not values:
        return RANGE
    middle, low, high = number(statistics.median(values)), number(min(values)), number(max(values))
    return middle if low == high else f"{middle} ({low}{RANGE}{high})"
