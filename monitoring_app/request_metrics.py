"""Counts of requests by django-prometheus, with label values from closed sets only.

Its own middleware takes the method of a request as it comes for one metric: each invented one added 19 series, and it
needed no key. Here every label of every metric goes through ``labels``, whichever it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django_prometheus.middleware import PrometheusAfterMiddleware

from monitoring_app import labels
from monitoring_app.labels import OTHER, FirstSeen, among

#: By name of a label. A label without one has the same value for everybody.
CLOSED: Final[Mapping[str, Callable[[str], str]]] = {
    "method": lambda value: among(value, labels.METHODS),
    "view": labels.view,
    "status": lambda value: among(value, labels.STATUSES),
    "transport": lambda value: among(value, labels.TRANSPORTS),
    "charset": lambda value: among(value, labels.CHARSETS),
    "type": FirstSeen(labels.MOST_EXCEPTIONS),
}


class RequestMetrics(PrometheusAfterMiddleware):  # type: ignore[misc]  # the base class is untyped
    """Takes the place of ``PrometheusAfterMiddleware``."""

    def label_metric(
        self, metric: Any, request: HttpRequest, response: HttpResponse | None = None, **values: str
    ) -> Any:
        closed = {name: CLOSED.get(name, _other)(str(value)) for name, value in values.items()}
        if "method" in closed and not _takes(request, closed["method"]):
            closed["method"] = OTHER  # a view has the series of the methods it takes, and one for the rest
        return super().label_metric(metric, request, response, **closed)

    def process_template_response(self, request: HttpRequest, response: Any) -> Any:
        """Not counted by template: the view says as much, and names of templates are no closed set."""
        return response


def _takes(request: HttpRequest, method: str) -> bool:
    """Whether the view of a request, once it is known, takes the method."""
    match = getattr(request, "resolver_match", None)
    if match is None:
        return True
    name = "get" if method == "HEAD" else method.lower()
    # A viewset has the methods that its route names; the pages of the admin are functions.
    return name in getattr(match.func, "actions", ("get", "post"))


def _other(_: str) -> str:
    return OTHER
