"""What is wrong with an input, as a mapping of field paths to one sentence each, bounded in number and in length. Pure.

Whoever sends ten thousand bad fields gets a response that a person can read and that costs no more than the request:
the first problems, and how many more there are.
"""

from __future__ import annotations

import re
from calendar import month_name, monthrange
from collections.abc import Iterable, Mapping
from typing import Final

MOST_PROBLEMS: Final = 100
LONGEST_NAME: Final = 100
LONGEST_SENTENCE: Final = 300
#: Stands for the fields that are not named.
MORE: Final = "…"
_DAY_AND_TIME: Final = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)(?:[T ](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d))?)?",
    re.ASCII | re.IGNORECASE,
)
_AND_MORE: Final = re.compile(r"and ([0-9]{1,9}) more", re.ASCII)


def bounded(problems: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The first `MOST_PROBLEMS`, names and sentences cut; the rest is counted, but neither kept nor named.

    What was bounded before, below some path, is counted for as many as it stands for.
    """
    kept: dict[str, str] = {}
    more = 0
    for name, sentence in problems:
        if found := _AND_MORE.fullmatch(sentence):
            more += int(found[1])
        elif len(kept) < MOST_PROBLEMS:
            kept[cut(name, LONGEST_NAME)] = cut(sentence, LONGEST_SENTENCE)
        else:
            more += 1
    return kept | and_more(more)


def and_more(count: int) -> dict[str, str]:
    """The problem that stands for so many others; nothing for none."""
    return {MORE: f"and {count} more"} if count else {}


def count_of(problems: Mapping[str, str]) -> int:
    """How many problems there were before they were bounded."""
    return sum(int(found[1]) if (found := _AND_MORE.fullmatch(text)) else 1 for text in problems.values())


def joined(problems: Mapping[str, str]) -> str:
    """All of them in one line, for the text of an exception."""
    return "; ".join(f"{name}: {sentence}" for name, sentence in bounded(problems.items()).items())


def no_such_time(text: str) -> str | None:
    """What is wrong with the day or the time of day in a text that is written like ISO 8601; None for nothing."""
    found = _DAY_AND_TIME.match(text)
    if found is None:
        return None
    year, month, day = (int(found[part]) for part in ("year", "month", "day"))
    if not (year >= 1 and 1 <= month <= 12):
        return "has no such month: they are 01 to 12" if year else "has no such year: the first is 0001"
    days = monthrange(year, month)[1]
    if not 1 <= day <= days:
        return f"has no such day: {month_name[month]} {year} has {days} days"
    hour, minute, second = (int(found[part] or 0) for part in ("hour", "minute", "second"))
    if hour == 24:
        return "has no such hour: midnight is 00:00 of the next day"
    if hour > 24 or minute > 59 or second > 59:
        return "has no such time of day: the last is 23:59:59"
    return None


def cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + MORE


class InvalidInput(ValueError):
    """Something asked for that cannot be kept. ``problems`` maps a JSON field path to one sentence."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(joined(problems))
        self.problems = problems


def problems_at(path: str, error: ValueError) -> dict[str, str]:
    """What an error says about the value at a path: one sentence, or one for each path below it."""
    if isinstance(error, InvalidInput):
        return inside(path, error.problems)
    return {path: str(error)}


def inside(path: str, problems: Mapping[str, str]) -> dict[str, str]:
    """The problems of a value that is at a path of something larger; ``body`` is the value itself."""
    return {path if below == "body" else f"{path}.{below}": sentence for below, sentence in problems.items()}


class NotFound(LookupError):
    """Nothing has the name or id that was asked for. The text says what."""
