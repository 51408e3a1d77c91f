"""Time zones as lists of offset changes, from the zone data of this host; pure but for reading that data.

A zone is cut into *segments*: stretches of UTC between two changes of its offset. In a segment local time is UTC plus
a constant, so a wall clock is turned into instants by subtracting it in every segment that contains it: none in a gap,
two in a fold. Nothing else here or in `recurrence` knows about daylight saving.

Zone data may be replaced under a running system. `zone` reads it again at most once a minute; `Zone.fingerprint`
changes exactly when the offsets that matter to running schedules did.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta


class UnknownZone(ValueError):
    """No such time zone, or one that means another thing on every host (``localtime``, ``right/…``)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """UTC from ``start`` to before ``end`` (aware), in which local time is UTC + ``offset``."""

    start: datetime
    end: datetime
    offset: timedelta
    #: Offset before ``start``: larger in front of a fold, smaller in front of a gap, the same where nothing changed.
    before: timedelta
    #: Offset from ``end`` on.
    after: timedelta


class Zone:
    """The rules of one IANA time zone, as read at one time."""

    name: str

    def fingerprint(self, now: datetime) -> str:
        """A short hash of the offsets from last year to three years from now (whole UTC years)."""
        raise NotImplementedError

    def local(self, at: datetime) -> datetime:
        """The wall clock (naive) at an instant."""
        raise NotImplementedError

    def instants(self, local: datetime) -> tuple[datetime, datetime]:
        """First and last UTC instant with this wall clock; in a gap, the instant at which the gap opens, twice."""
        raise NotImplementedError

    def segments(self, start: datetime) -> Iterator[Segment]:
        """Segments from the one that contains ``start`` on, for ever (to the end of the calendar)."""
        raise NotImplementedError

    def segments_back(self, end: datetime) -> Iterator[Segment]:
        """Segments from the one that contains ``end`` backwards."""
        raise NotImplementedError


def zone(name: str) -> Zone:
    """The zone of that name, read anew at most once a minute. Raises `UnknownZone`."""
    raise NotImplementedError


def forget() -> None:
    """Read every zone anew at its next use."""
    raise NotImplementedError
