"""Time zones as stretches of constant offset, from the zone data of this host; pure but for reading that data.

A zone is cut into *segments*: stretches of UTC in which local time is UTC plus a constant, so that a wall clock becomes
instants by subtracting it in every segment that contains it: none in a gap, two in a fold. Nothing else here or in
`recurrence` knows about daylight saving.

`zoneinfo` does not say when a zone changes, so each year is searched once, six days at a time: since 1970 no zone
changed its offset twice within less than 6.9 days (Brazil in October 2000), nor will any by its rules.

Zone data may be replaced under a running system. `zone` reads it again at most once a minute; `Zone.fingerprint`
changes when the offsets that matter to running schedules did (and, harmlessly, with the year).
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schedules_app.zone_names import hint

REREAD_AFTER_SECONDS: Final = 60.0
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+\-]{0,40}(/[A-Za-z0-9_+\-]{1,40}){0,2}", re.ASCII)
#: What lies beside the zones in their directory: copies with leap seconds, and the host's own choice.
_NOT_ZONES: Final = re.compile(r"posix/.*|right/.*|posixrules|localtime|Factory")
#: No zone changes its offset twice within this time.
_STRIDE: Final = timedelta(days=6)
#: So many years of a zone are kept.
_YEARS_KEPT: Final = 32
_SECOND: Final = timedelta(seconds=1)


class UnknownZone(ValueError):
    """No such time zone, or one that means another thing on every host (``localtime``, ``right/…``)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """UTC from ``start`` to before ``end`` (aware), in which local time is UTC + ``offset``."""

    start: datetime
    end: datetime
    offset: timedelta
    #: Offset before ``start``: smaller where the clock jumped forward at ``start``, larger where it was put back.
    before: timedelta
    #: Offset from ``end`` on.
    after: timedelta
    #: The same on the wall clock (naive): its first and its end; up to where its begin was shown before; from where its
    #: end is shown again.
    first_local: datetime = field(init=False, repr=False, compare=False)
    end_local: datetime = field(init=False, repr=False, compare=False)
    shown_before: datetime = field(init=False, repr=False, compare=False)
    shown_again: datetime = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, at, offset in (
            ("first_local", self.start, self.offset),
            ("end_local", self.end, self.offset),
            ("shown_before", self.start, self.before),
            ("shown_again", self.end, self.after),
        ):
            object.__setattr__(self, name, (at + offset).replace(tzinfo=None))


@dataclass(frozen=True, slots=True)
class Zone:
    """The rules of one IANA time zone, as read at one time."""

    name: str
    info: ZoneInfo
    _years: dict[int, tuple[Segment, ...]] = field(default_factory=dict, repr=False, compare=False)

    def fingerprint(self, now: datetime) -> str:
        """A short hash of the offsets from last year to three years from now (whole UTC years)."""
        rules = [
            (segment.start.isoformat(), segment.offset.total_seconds())
            for year in range(now.year - 1, now.year + 4)
            for segment in self._segments_of(year)
        ]
        return hashlib.sha256(repr(rules).encode()).hexdigest()[:16]

    def local(self, at: datetime) -> datetime:
        """The wall clock (naive) at an instant."""
        return at.astimezone(self.info).replace(tzinfo=None, fold=0)

    def instants(self, local: datetime) -> tuple[datetime, datetime]:
        """First and last UTC instant with this wall clock; in a gap, the instant at which it opens, twice."""
        # In a gap fold=0 means the offset before it, so that the "first" instant is the later one (PEP 495).
        first, last = (local.replace(tzinfo=self.info, fold=fold).astimezone(UTC) for fold in (0, 1))
        if first <= last:
            return first, last
        opens = self._first_change(last, first)
        return opens, opens

    def segment_at(self, at: datetime) -> Segment:
        """The segment that contains an instant. Segments end with each UTC year, if not earlier."""
        return next(segment for segment in self._segments_of(at.year) if at < segment.end)

    def agrees(self, other: Zone) -> bool:
        """Are the offsets the same in all years that the other was asked about?"""
        return all(self._segments_of(year) == segments for year, segments in list(other._years.items()))

    def _segments_of(self, year: int) -> tuple[Segment, ...]:
        segments = self._years.get(year)
        if segments is None:
            segments = tuple(self._cut(datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)))
            if len(self._years) >= _YEARS_KEPT:  # whoever goes through centuries must not keep them
                self._years.clear()
            self._years[year] = segments
        return segments

    def _cut(self, start: datetime, end: datetime) -> Iterator[Segment]:
        fixed = self.info.utcoffset(None)
        if fixed is not None:  # a zone that never changes says so
            yield Segment(start, end, fixed, fixed, fixed)
            return
        before, offset = self._offset(start - _SECOND), self._offset(start)
        looked = start
        while looked < end:
            if (
                self._offset(looked + _STRIDE) != offset
                and (change := self._first_change(looked, looked + _STRIDE)) < end
            ):
                after = self._offset(change)
                yield Segment(start, change, offset, before, after)
                start, before, offset = change, offset, after
            looked += _STRIDE
        yield Segment(start, end, offset, before, self._offset(end))

    def _first_change(self, low: datetime, high: datetime) -> datetime:
        """The second, after ``low`` and not after ``high``, at which the offset stops being that of ``low``."""
        offset = self._offset(low)
        while high - low > _SECOND:
            middle = low + timedelta(seconds=(high - low) // _SECOND // 2)
            if self._offset(middle) == offset:
                low = middle
            else:
                high = middle
        return high

    def _offset(self, at: datetime) -> timedelta:
        return at.astimezone(self.info).utcoffset() or timedelta(0)


_zones: dict[str, tuple[float, Zone]] = {}


def zone(name: str) -> Zone:
    """The zone of that name, read anew at most once a minute. Raises `UnknownZone`."""
    read_at, known = _zones.get(name, (0.0, None))
    now = time.monotonic()
    if known is None or now - read_at >= REREAD_AFTER_SECONDS:
        fresh = _read(name)
        # Unchanged rules keep their identity, and all that was computed under them.
        known = known if known is not None and fresh.agrees(known) else fresh
        _zones[name] = now, known
    return known


def forget() -> None:
    """Read every zone anew at its next use."""
    _zones.clear()


def _read(name: str) -> Zone:
    if not _NAME.fullmatch(name) or _NOT_ZONES.fullmatch(name):
        raise UnknownZone(f"{name[:100]!r} is not an IANA time zone{hint(name)}")
    try:
        return Zone(name, ZoneInfo.no_cache(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UnknownZone(f"{name[:100]!r} is not an IANA time zone{hint(name)}") from None
