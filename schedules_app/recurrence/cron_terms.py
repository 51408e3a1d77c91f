"""Why one item of a field of a cron expression is refused, and what to write instead. Pure."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from typing import Final

_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
#: The names that fields take, and those that people write.
NAMES: Final = (*_MONTHS, *_DAYS)
LONG_NAMES: Final = tuple(name.upper() for name in (*calendar.month_name, *calendar.day_name) if len(name) > 3)


@dataclass(frozen=True, slots=True)
class Field:
    """``names`` stand for the numbers from ``low`` on."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    #: Seconds of one unit, where a step may be worded as an interval.
    seconds: int = 0

    @property
    def size(self) -> int:
        """How many values there are; 7 is Sunday once more."""
        return 7 if self.names == _DAYS else self.high - self.low + 1

    def number(self, text: str) -> int | None:
        if text in self.names:
            return self.names.index(text) + self.low
        return int(text) if re.fullmatch(r"\d{1,6}", text, re.ASCII) else None

    def show(self, number: int, like: str) -> str:
        """A value, as a name if the text beside it is one."""
        return str(number) if like.isdigit() or not self.names else self.names[(number - self.low) % len(self.names)]


SECOND: Final = Field("second", 0, 59, seconds=1)
FIVE: Final = (
    Field("minute", 0, 59, seconds=60),
    Field("hour", 0, 23, seconds=3600),
    Field("day of the month", 1, 31, seconds=86_400),
    Field("month", 1, 12, _MONTHS),
    Field("day of the week", 0, 7, _DAYS),
)
MONTH_DAY, MONTH, WEEKDAY = FIVE[2:]


def wrong(field: Field, term: str, value: str) -> str | None:
    """What is wrong with one item of a field."""
    if not term:
        return "an item is missing, or a comma is too many" if "," in value else "must not be empty"
    if not term.isascii():
        return "write the digits 0 to 9, and names in English"
    if special := _special(field, term):
        return special
    if (field is MONTH_DAY and re.fullmatch(r"LW?(/\d+)?", term)) or (field is WEEKDAY and re.search("[L#]", term)):
        return None
    body, slash, step = term.partition("/")
    if slash and not step.isdigit():
        return "behind the / stands one whole number, as in */15"
    if slash and int(step) == 0:
        return "a step must be at least 1"
    if body == "*":
        return None
    return _wrong_range(field, body, step) if "-" in body else _wrong_value(field, body)


def _special(field: Field, term: str) -> str | None:
    """Signs of other dialects, and of other fields."""
    if "?" in term:
        return "write * instead of ?"
    if re.fullmatch(r"H(/\d+|\(.*\))?", term):
        return "H is known to Jenkins only: write a number, and use jitterSeconds to spread starts"
    if "~" in term:
        return "random times are not taken: write a number, and use jitterSeconds to spread starts"
    if field is MONTH_DAY and re.fullmatch(r"\d+W|W\d+", term):
        day = term.strip("W")
        return f"the weekday nearest to a day is not taken: write {day}, and a blackout calendar for weekends"
    if term == "W":
        return "write * here, and MON-FRI as day of the week"
    if field is MONTH_DAY and (found := re.fullmatch(r"L-(\d+)", term)):
        return f"use rrule: FREQ=MONTHLY;BYMONTHDAY=-{int(found[1]) + 1}"
    if field is WEEKDAY:
        return _special_weekday(term)
    if "#" in term:
        return "# is taken in the last field only, as in MON#1 for the first Monday"
    if re.fullmatch(r"\d*L\d*", term) and field is not MONTH_DAY:
        return "L is taken in the fields for days only"
    return None


def _special_weekday(term: str) -> str | None:
    if "L" in term and not re.search(r"JUL", term):
        if re.fullmatch(r"[0-7]L", term):
            return None
        name = term.removesuffix("L")
        number = f"{_DAYS.index(name)}L" if name in _DAYS else "5L"
        return f"the last of a day is written with its number, {number} for the last {_long(number)} of the month"
    if "#" in term:
        day, _, nth = term.partition("#")
        if "-" in day:
            return "name each day by itself, as in MON#1,TUE#1"
        if not re.fullmatch("[1-5]", nth):
            return "behind the # stands a number from 1 to 5; the last one is written as in 5L"
        return _wrong_value(WEEKDAY, day)
    return None


def _long(number: str) -> str:
    return calendar.day_name[(int(number[0]) - 1) % 7]


def _wrong_range(field: Field, body: str, step: str) -> str | None:
    first, _, last = body.partition("-")
    if "-" in last:
        return "a range has two ends, and no more"
    if not first and field is MONTH_DAY and last == "1":
        return "write L for the last day"
    if not first or not last:
        return f"a range has two ends, as in {field.low}-{field.high}"
    for end in (first, last):
        if problem := _wrong_value(field, end):
            return problem
    low, high = field.number(first), field.number(last)
    if low is None or high is None or low <= high:
        return None
    if field is WEEKDAY and low == field.high:
        return f"Sunday is 0 where a range begins: write 0-{high}"
    return f"a range must not end before it begins: write {_around(field, (first, low), (last, high), int(step or 1))}"


def _around(field: Field, first: tuple[str, int], last: tuple[str, int], step: int) -> str:
    """The same round the end of the field: 22-23,0-2."""
    top = field.low + field.size - 1
    if step > 1:
        whole = [*range(first[1], top + 1), *range(field.low, last[1] + 1)]
        return ",".join(field.show(number, first[0]) for number in whole[::step])
    return ",".join(
        _piece(field, low, high, like) for low, high, like in ((first[1], top, first[0]), (field.low, last[1], last[0]))
    )


def _piece(field: Field, low: int, high: int, like: str) -> str:
    if high - low < 2:  # SAT,SUN
        return ",".join(dict.fromkeys(field.show(number, like) for number in (low, high)))
    return f"{field.show(low, like)}-{field.show(high, like)}"


def _wrong_value(field: Field, text: str) -> str | None:
    number = field.number(text)
    if number is not None:
        return None if field.low <= number <= field.high else _out_of_range(field, number)
    if text in MONTH.names:
        return "a month stands in the field before the last"
    if text in WEEKDAY.names:
        return "a day of the week stands in the last field"
    if text[:3] in field.names and len(text) > 3:
        return f"write {text[:3]}"
    names = f", or {field.names[0]} to {field.names[-1]}" if field.names else ""
    return f"must be a whole number from {field.low} to {field.high}{names}"


def _out_of_range(field: Field, number: int) -> str:
    if field is WEEKDAY:
        return "must be from 0 to 7, both of which are Sunday"
    if field.name == "hour" and number == 24:
        return "must be from 0 to 23: midnight is 0"
    return f"must be from {field.low} to {field.high}"
