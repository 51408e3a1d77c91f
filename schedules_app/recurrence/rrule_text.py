"""The text of an RRULE (RFC 5545 §3.3.10), read strictly into a `Rule`.

Stricter than the RFC only where a rule would be a trap: no COUNT together with UNTIL, no leap second, and sizes are
bounded so that no text can cost more than milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any, Final

from schedules_app.recurrence.rrule_refusals import bad_value, refusal_of_text, unknown_part

MAX_LENGTH: Final = 1000
MAX_COUNT: Final = 10_000
MAX_INTERVAL: Final = 10_000
WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


class Frequency(IntEnum):
    """From coarse to fine, numbered as in dateutil."""

    YEARLY = 0
    MONTHLY = 1
    WEEKLY = 2
    DAILY = 3
    HOURLY = 4
    MINUTELY = 5
    SECONDLY = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The parts of a rule as given; an empty tuple is a part that was not."""

    freq: Frequency
    interval: int = 1
    count: int | None = None
    #: Last wall clock (naive), or last instant (aware).
    until: datetime | None = None
    wkst: int = 0
    bymonth: tuple[int, ...] = ()
    bymonthday: tuple[int, ...] = ()
    byyearday: tuple[int, ...] = ()
    byweekno: tuple[int, ...] = ()
    #: (weekday from Monday 0, nth or 0)
    byday: tuple[tuple[int, int], ...] = ()
    byhour: tuple[int, ...] = ()
    byminute: tuple[int, ...] = ()
    bysecond: tuple[int, ...] = ()
    bysetpos: tuple[int, ...] = ()

    @property
    def chooses_days(self) -> bool:
        """Does any part say which days of a year match?"""
        return bool(self.bymonth or self.bymonthday or self.byyearday or self.byweekno or self.byday)

    @property
    def most_weekdays(self) -> int:
        """How often a weekday can come in what a numbered BYDAY counts in: a month, or a year."""
        return 5 if self.freq == Frequency.MONTHLY or self.bymonth else 53


def read_rule(text: str) -> Rule:
    """Read the text of a rule. Raises ValueError: one sentence."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"must not be longer than {MAX_LENGTH} characters")
    if refusal := refusal_of_text(text):
        raise ValueError(refusal)
    body = text.strip().upper().removeprefix("RRULE:")
    parts: dict[str, Any] = {}
    for part in body.removesuffix(";").split(";"):
        name, _, value = part.partition("=")
        if name not in _READERS:
            raise ValueError(unknown_part(name, _READERS))
        if name.lower() in parts:
            raise ValueError(f"has {name} twice")
        try:
            parts[name.lower()] = _READERS[name](value)
        except (ValueError, KeyError):
            raise ValueError(bad_value(name, value)) from None
    if "freq" not in parts:
        raise ValueError("must name its FREQ, as in FREQ=DAILY")
    rule = Rule(**parts)
    _check_combination(rule)
    return rule


def _check_combination(rule: Rule) -> None:
    freq = rule.freq
    refused = {
        "has both COUNT and UNTIL: leave one of them out": rule.count is not None and rule.until is not None,
        "has BYWEEKNO, which only FREQ=YEARLY may have": rule.byweekno and freq != Frequency.YEARLY,
        "has BYYEARDAY, which DAILY, WEEKLY and MONTHLY may not have": rule.byyearday
        and Frequency.MONTHLY <= freq <= Frequency.DAILY,
        "has BYMONTHDAY, which WEEKLY may not have: use FREQ=MONTHLY": rule.bymonthday and freq == Frequency.WEEKLY,
        "has a numbered BYDAY, which only MONTHLY, and YEARLY without BYWEEKNO, may have: leave the number out": any(
            n for _, n in rule.byday
        )
        and (freq > Frequency.MONTHLY or rule.byweekno),
        "has a BYDAY whose number is too large: a month has each day five times at most, a year 53 times": any(
            abs(nth) > rule.most_weekdays for _, nth in rule.byday
        ),
        "has BYSETPOS without another BY part to choose from": rule.bysetpos
        and not (rule.chooses_days or rule.byhour or rule.byminute or rule.bysecond),
    }
    for sentence, applies in refused.items():
        if applies:
            raise ValueError(sentence)


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,5}", value, re.ASCII) or not low <= int(value) <= high:
            raise ValueError(value)
        return int(value)

    return read


def _list(read: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    return lambda value: tuple(sorted({read(item) for item in value.split(",")}))


def _signed(high: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        number = _whole(-high, high)(value)
        if number == 0:
            raise ValueError(value)
        return number

    return read


def _weekday(value: str) -> tuple[int, int]:
    number, day = value[:-2], value[-2:]
    return WEEKDAYS.index(day), _signed(53)(number) if number else 0


def _until(value: str) -> datetime:
    """``20261231`` (that whole day) or ``20261231T090000`` on the schedule's clock; with ``Z`` in UTC."""
    if not re.fullmatch(r"\d{8}(T\d{6}Z?)?", value, re.ASCII):
        raise ValueError(value)
    if len(value) == 8:
        return datetime.strptime(value, "%Y%m%d") + timedelta(seconds=86_399)  # noqa: DTZ007 - a wall clock
    at = datetime.strptime(value[:15], "%Y%m%dT%H%M%S")  # noqa: DTZ007 - made aware where it says Z
    return at.replace(tzinfo=UTC) if value.endswith("Z") else at


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "FREQ": Frequency.__getitem__,
    "INTERVAL": _whole(1, MAX_INTERVAL),
    "COUNT": _whole(1, MAX_COUNT),
    "UNTIL": _until,
    "WKST": WEEKDAYS.index,
    "BYMONTH": _list(_whole(1, 12)),
    "BYMONTHDAY": _list(_signed(31)),
    "BYYEARDAY": _list(_signed(366)),
    "BYWEEKNO": _list(_signed(53)),
    "BYDAY": _list(_weekday),
    "BYHOUR": _list(_whole(0, 23)),
    "BYMINUTE": _list(_whole(0, 59)),
    "BYSECOND": _list(_whole(0, 59)),
    "BYSETPOS": _list(_signed(366)),
}
