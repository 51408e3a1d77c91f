"""What columns of several tables of this app may hold, as conditions of CHECKs."""

from __future__ import annotations

from django.db.models import F, Q

from flow_app.rates import LONGEST_PERIOD, MOST_STARTS


def rate_columns(prefix: str) -> Q:
    """What the columns of a rate may hold: all of them nothing, or all something that `rules.rate_rule` takes."""
    limit, period, burst = f"{prefix}_limit", f"{prefix}_period", f"{prefix}_burst"
    unset: dict[str, object] = {f"{limit}__isnull": True, f"{period}__isnull": True, f"{burst}__isnull": True}
    ranges: dict[str, object] = {
        f"{limit}__range": (1, MOST_STARTS),
        f"{period}__range": (1, LONGEST_PERIOD),
        f"{burst}__range": (0, F(limit)),
    }
    return Q(**unset) | Q(**ranges)
