"""What the tenants of a shared queue have had of it lately, beside what they were entitled to. Read only, and bounded.

Everything is in slots, on average over the time that is looked at: a tenant whose attempts ran for 1,800 seconds within
an hour has used half a slot. Entitled: what all tenants have used together, divided by their weights among those that
ran or wait. Whoever has used less has lent the rest to others, or had no need of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from access_app.sql import statement
from flow_app.figures import read_rows

#: Attempts that are looked at, of all queues, those that ended last.
SAMPLE: Final = 5000
#: Tenants that are told apart.
MOST_SHOWN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Of one tenant, in slots. ``used`` more than ``entitled`` is what others have lent."""

    tenant: str
    weight: int
    used: float
    entitled: float

    @property
    def lent(self) -> float:
        """What of its share others have used; negative: what it has had of theirs."""
        return self.entitled - self.used


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Of the tenants that have used most, over the ``span``; ``others`` are not among them."""

    span: timedelta
    rows: Sequence[Share] = ()
    others: int = 0


def measure_shares(queue: str) -> Shares:
    """The shares of a queue; of one that is not shared there are none."""
    found = read_rows(statement("measure_shares"), {"queue": queue, "sample": SAMPLE})
    return shares([(row["tenant"], row["weight"], row["seconds"]) for row in found], found[0]["span"] if found else 0)


def shares(tenants: Sequence[tuple[str, int, float]], span: float) -> Shares:
    """Tenants with their weights and the seconds that they have used, those with most first. Pure."""
    weights, seconds = sum(weight for _, weight, _ in tenants), sum(used for *_, used in tenants)
    slots = seconds / span if span else 0
    return Shares(
        span=timedelta(seconds=span),
        rows=[
            Share(tenant=tenant, weight=weight, used=used / span if span else 0, entitled=slots * weight / weights)
            for tenant, weight, used in tenants[:MOST_SHOWN]
        ],
        others=max(0, len(tenants) - MOST_SHOWN),
    )
