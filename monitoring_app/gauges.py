"""Gauges of metrics, and what all names of ours begin with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

PREFIX: Final = "task_scheduler_"


def gauge(name: str, text: str, value: float) -> Metric:
    """One number."""
    return GaugeMetricFamily(PREFIX + name, text, value=value)


def labelled(name: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    """A number for each value of a label."""
    family = GaugeMetricFamily(PREFIX + name, text, labels=[label])
    for key, value in values:
        family.add_metric([str(key)], value)
    return family
