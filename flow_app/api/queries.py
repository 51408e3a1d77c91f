"""What the query strings of queues may ask for."""

from __future__ import annotations

from access_app.http.filters import DEFAULT_SIZE, MAX_PAGE, MAX_SIZE
from access_app.http.openapi.schemas import integer
from access_app.http.query import Parameter, Query, whole


class QueuesQuery(Query):
    """Which page of the queues in use."""

    page = Parameter(whole(0, MAX_PAGE), integer(0, MAX_PAGE), "Which page, from 0; the first if absent.", default=0)
    size = Parameter(
        whole(1, MAX_SIZE),
        integer(1, MAX_SIZE),
        f"How many queues a page has, {DEFAULT_SIZE} if absent.",
        default=DEFAULT_SIZE,
    )
