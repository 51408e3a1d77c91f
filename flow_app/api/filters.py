"""What may be asked of the list of targets."""

from __future__ import annotations

from access_app.http.filters import ListFilters


class TargetFilters(ListFilters):
    sorts = {"host": "pk"}
    descending = False
    sort_schema = "TargetSort"
