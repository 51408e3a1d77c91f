"""The queues that metrics have by name: the busiest ones, and all others as one.

Whoever may create tasks chooses the names of queues, and each name is a time series for good: so a reading has at most
`MOST_NAMED` of them, and this process no more than `MOST_EVER` in its life.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from flow_app import figures
from flow_app.figures import Figures
from flow_app.models import Queue
from monitoring_app.labels import OTHER, FirstSeen

MOST_NAMED: Final = 100
MOST_EVER: Final = 1000
#: Queues that a reading looks at; each costs some 50 µs.
MOST_LOOKED_AT: Final = 1000

_named = FirstSeen(MOST_EVER)


@dataclass(slots=True)
class QueueReading:
    """What metrics say of one queue, or of all that have no name of their own."""

    waiting: int = 0
    running: int = 0
    oldest_due_seconds: float = 0
    limit: int | None = None
    tokens: int | None = None
    gates: Counter[str] = field(default_factory=Counter)

    def add(self, found: Figures) -> None:
        self.waiting += found.waiting
        self.running += found.running
        self.oldest_due_seconds = max(self.oldest_due_seconds, found.oldest_due_seconds or 0)
        self.gates.update(found.gates)


def read_busiest() -> dict[str, QueueReading]:
    """The figures by name of queue. Counts are bounded, and lower bounds beyond that."""
    names, _ = figures.find_some(most=MOST_LOOKED_AT)
    tokens = figures.rate_tokens(names)
    return by_name(figures.rows_of(names), figures.measure_deeply(names), tokens)


def by_name(
    rows: Sequence[Queue], measured: Mapping[str, Figures], tokens: Mapping[str, int]
) -> dict[str, QueueReading]:
    """The busiest by their names, the others together."""
    named = set(_named_of(measured))
    readings: dict[str, QueueReading] = {}
    for queue in rows:
        name = queue.name if queue.name in named else OTHER
        reading = readings.setdefault(name, QueueReading())
        reading.add(measured[queue.name])
        if name != OTHER:
            reading.limit, reading.tokens = queue.max_concurrency, tokens.get(name)
    return readings


def _named_of(measured: Mapping[str, Figures]) -> Iterable[str]:
    """A queue may be called like the rest of them: then it is part of it."""
    busiest = sorted(measured, key=lambda name: (-_load(measured[name]), name))[:MOST_NAMED]
    return (name for name in busiest if name != OTHER and _named(name) == name)


def _load(found: Figures) -> int:
    return found.waiting + found.scheduled + found.running
