"""What the query strings of figures may ask for."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.schemas import integer
from access_app.http.query import Parameter, Query, whole

MOST_HOURS: Final = 720
DEFAULT_HOURS: Final = 24


class FiguresQuery(Query):
    """How far the figures look back."""

    hours = Parameter(
        whole(1, MOST_HOURS),
        integer(1, MOST_HOURS, default=DEFAULT_HOURS),
        "How many hours to look back.",
        default=DEFAULT_HOURS,
    )
