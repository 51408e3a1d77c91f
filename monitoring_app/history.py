"""What a time was like, step by step, read from the minutes that schedulers keep: never from the tasks themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final

from django.db.models import F, Max, QuerySet, Sum

from monitoring_app.histograms import Histogram, merged, percentiles
from monitoring_app.models import MetricMinute
from tasks_app.states import ExecutionStatus

#: The steps there are.
STEPS: Final = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1))
#: Columns of attempts by how they ended.
OUTCOMES: Final = {str(status): status.lower() for status in ExecutionStatus}
_COUNTS: Final = (*OUTCOMES.values(), "retried", "given_up")
_ATTEMPTS: Final = sum((F(column) for column in list(OUTCOMES.values())[1:]), start=F("success"))


@dataclass(frozen=True, slots=True)
class Ended:
    """Attempts that ended: how many in which way, and the times they took, in buckets."""

    counts: Mapping[str, int]
    start_delay: Histogram
    duration: Histogram

    @property
    def attempts(self) -> int:
        return sum(self.counts[column] for column in OUTCOMES.values())

    @property
    def start_delays(self) -> dict[str, float] | None:
        """p50, p95 and p99 in seconds."""
        return percentiles(self.start_delay)

    @property
    def durations(self) -> dict[str, float] | None:
        return percentiles(self.duration)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What was in one queue: attempts that ended, and at most how much waited how long. None: nobody looked."""

    attempts: int
    waiting: int | None
    oldest_due: float | None


@dataclass(kw_only=True)
class Step:
    """One step of a time. ``slots`` are used and available ones; None: no scheduler looked."""

    at: datetime
    types: dict[str, Ended] = field(default_factory=dict)
    queues: dict[str, Waiting] = field(default_factory=dict)
    slots: tuple[int, int] | None = None

    @cached_property
    def all_types(self) -> Ended:
        """All of them together, once they are known."""
        ended = self.types.values()
        counts = merged(each.counts for each in ended)
        return Ended(counts, merged(each.start_delay for each in ended), merged(each.duration for each in ended))


@dataclass(frozen=True, kw_only=True)
class Window:
    """A time, from one instant to before another, in steps of one length of `STEPS`."""

    since: datetime
    until: datetime
    step: timedelta

    @cached_property
    def begins(self) -> tuple[datetime, ...]:
        """When each step begins; the first may have begun before ``since``."""
        return tuple(self._begins())

    def _begins(self) -> Iterator[datetime]:
        at = floor(self.since, self.step)
        while at < self.until:
            yield at
            at += self.step

    @property
    def rows(self) -> QuerySet[MetricMinute]:
        """The rows of its steps. Index: the primary key."""
        first = floor(self.since, self.step)
        return MetricMinute.objects.filter(span=self.step // timedelta(minutes=1), at__gte=first, at__lt=self.until)


def floor(instant: datetime, step: timedelta) -> datetime:
    """When the step began in which an instant is."""
    beginning = datetime(2000, 1, 1, tzinfo=UTC)
    return beginning + (instant - beginning) // step * step


def fullest_queues(window: Window, *, most: int) -> list[str]:
    """The queues in which most waited, or most ended, the fullest first."""
    found = window.rows.filter(kind="queue").values("name").annotate(most=Max("waiting"), ended=Sum(_ATTEMPTS))
    return list(found.order_by(F("most").desc(nulls_last=True), "-ended", "name").values_list("name", flat=True)[:most])


def read_history(window: Window, queues: Sequence[str]) -> list[Step]:
    """Each step of a time, oldest first, with these queues."""
    steps = {at: Step(at=at) for at in window.begins}
    _add_ended(window, steps)
    _add_queues(window, steps, queues)
    return list(steps.values())


def _add_ended(window: Window, steps: Mapping[datetime, Step]) -> None:
    columns = ("at", "kind", "name", "start_delay", "duration", "slots_used", "slots", *_COUNTS)
    rows = window.rows.filter(kind__in=("type", "system")).order_by("name").values_list(*columns)
    for at, kind, name, start_delay, duration, used, slots, *counts in rows.iterator(5000):
        if kind == "type":
            steps[at].types[name] = Ended(dict(zip(_COUNTS, counts, strict=True)), start_delay, duration)
        else:
            steps[at].slots = (used, slots)


def _add_queues(window: Window, steps: Mapping[datetime, Step], queues: Sequence[str]) -> None:
    rows = window.rows.filter(kind="queue", name__in=list(queues)).annotate(attempts=_ATTEMPTS)
    for at, name, attempts, waiting, oldest in rows.values_list("at", "name", "attempts", "waiting", "oldest_due"):
        steps[at].queues[name] = Waiting(attempts, waiting, oldest)
    for step in steps.values():
        if step.slots is not None:  # somebody looked, and what had nothing waiting has no row
            _fill(step, queues)


def _fill(step: Step, queues: Sequence[str]) -> None:
    for name in queues:
        found = step.queues.get(name)
        if found is None or found.waiting is None:
            step.queues[name] = Waiting(found.attempts if found else 0, 0, None)
