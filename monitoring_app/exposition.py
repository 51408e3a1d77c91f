"""How a reading is written for Prometheus: its text format, or OpenMetrics for who accepts that.

Requests are counted by django-prometheus, in each process; with ``PROMETHEUS_MULTIPROC_DIR`` set (``scheduler_project.
serving``) the response holds those of all processes of this host.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

import prometheus_client
from django.http import HttpRequest, HttpResponse
from django.http.request import MediaType
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from monitoring_app.families import Families
from monitoring_app.metrics import Reading

PLAIN: Final = "text/plain"
OPEN_METRICS: Final = "application/openmetrics-text"


def exposition(reading: Reading, request: HttpRequest) -> HttpResponse:
    """The response to a scrape: this application's metrics, then those of its requests."""
    registry = CollectorRegistry()
    registry.register(Families(reading))
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(_ThisProcess())
    encode, content_type = choose_encoder(_wanted(request))
    return HttpResponse(encode(registry), content_type=content_type)


class _ThisProcess(Collector):
    """The metrics of this process, as part of another registry: OpenMetrics has one end of file."""

    def collect(self) -> Iterable[Metric]:
        return prometheus_client.REGISTRY.collect()


def _wanted(request: HttpRequest) -> str:
    """What the library is to choose by: not the header itself, whose parameters it would repeat, or fail on."""
    offered = (name for accepted in request.accepted_types if (name := _offered(accepted)))
    return next(offered, PLAIN)


def _offered(accepted: MediaType) -> str | None:
    """What of ours a media range stands for; Django's own match would have parameters be the same."""
    if f"{accepted.main_type}/{accepted.sub_type}" == OPEN_METRICS:
        return f"{OPEN_METRICS}; version=1.0.0"
    return PLAIN if accepted.main_type in ("*", "text") and accepted.sub_type in ("*", "plain") else None
