"""Numbers, days and times in plain English: the parts that explanations of crons and of RRULEs share. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Final

WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
#: With more times of day than this, hours, minutes and seconds are named apart.
_MOST_TIMES: Final = 4
#: From so many consecutive values on, "through" is used; from so many in equal steps, the step.
_SHORTEST_RUN: Final = 3
_SHORTEST_STEPS: Final = 4


def joined(words: Iterable[str], last_word: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *most, last = words
    return f"{', '.join(most)} {last_word} {last}" if most else last


def every(count: int, unit: str) -> str:
    """``every minute``, ``every 2 minutes``."""
    return f"every {unit}" if count == 1 else f"every {count} {unit}s"


def ordinal(number: int) -> str:
    """``1st``, ``22nd``, ``113th``; from the end ``last``, ``2nd to last``."""
    if number == -1:
        return "last"
    size = abs(number)
    ending = "th" if size % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(size % 10, "th")
    return f"{size}{ending}{' to last' if number < 0 else ''}"


def ordinals(numbers: Iterable[int]) -> str:
    """``the 1st, 15th and last``: those counted from the end come behind."""
    return f"the {joined(runs(sorted(numbers, key=lambda number: (number < 0, number)), ordinal))}"


def ordinal_days(numbers: Iterable[int]) -> str:
    """The same of days, also ``every 2nd day from the 1st to the 31st``."""
    numbers = sorted(numbers)
    step = step_of(numbers)
    if len(numbers) >= _SHORTEST_STEPS and step is not None and step > 1 and numbers[0] > 0:
        return f"every {ordinal(step)} day from the {ordinal(numbers[0])} to the {ordinal(numbers[-1])}"
    return ordinals(numbers)


def months(numbers: Sequence[int]) -> str:
    """``January, March and June through August``."""
    return joined(runs(numbers, lambda month: _MONTHS[month - 1]))


def runs(numbers: Sequence[int], word: Callable[[int], str]) -> list[str]:
    """Ascending numbers in words; three and more in a row as ``first through last``."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    words = []
    for run in found:
        short = len(run) < _SHORTEST_RUN
        words += [word(number) for number in run] if short else [f"{word(run[0])} through {word(run[-1])}"]
    return words


def numbered(unit: str, numbers: Sequence[int]) -> str:
    """``minute 5``, ``minutes 5 and 35``, ``minutes 0 through 10``, ``minutes 1 through 59 in steps of 2``."""
    if len(numbers) == 1:
        return f"{unit} {numbers[0]}"
    step = step_of(numbers)
    if len(numbers) >= _SHORTEST_STEPS and step is not None and step > 1:
        return f"{unit}s {numbers[0]} through {numbers[-1]} in steps of {step}"
    return f"{unit}s {joined(runs(numbers, str))}"


def step_of(numbers: Sequence[int]) -> int | None:
    """The distance between neighbours, if it is the same for all."""
    steps = {later - earlier for earlier, later in pairwise(numbers)}
    return steps.pop() if len(steps) == 1 else None


def times(hours: Sequence[int], minutes: Sequence[int], seconds: Sequence[int]) -> str:
    """Times of a day, ascending: ``at 09:00 and 17:00``, ``every 15 minutes``, ``every minute from 09:00 to 17:59``."""
    if len(hours) * len(minutes) * len(seconds) <= _MOST_TIMES:
        with_seconds = any(seconds)
        clocks = (_clock(h, m, s if with_seconds else None) for h in hours for m in minutes for s in seconds)
        return f"at {joined(clocks)}"
    if list(seconds) != [0]:
        return _with_seconds(hours, minutes, seconds)
    if len(hours) == 24:
        return _all_day(minutes)
    step, even = step_of(hours), _even(hours, 24)
    if even is not None and len(minutes) < 60:
        at_minutes = "" if list(minutes) == [0] else f" at {numbered('minute', minutes)}"
        return every(even, "hour") + at_minutes
    if step == 1 or len(hours) == 1:
        return _from_to(hours, minutes)
    often = _often("minute", minutes)
    of_hours = numbered("hour", hours)
    return f"{often} of {of_hours}" if often else f"at {numbered('minute', minutes)} of {of_hours}"


def _all_day(minutes: Sequence[int]) -> str:
    often = _often("minute", minutes)
    if often or list(minutes) == [0]:
        return often or "every hour"
    return f"every hour at {numbered('minute', minutes)}"


def _from_to(hours: Sequence[int], minutes: Sequence[int]) -> str:
    """In hours without a gap."""
    first, last = hours[0], hours[-1]
    often = "every hour" if len(minutes) == 1 else _often("minute", minutes)
    if often is None and len(hours) == 1 and step_of(minutes) is not None:
        often = every(step_of(minutes) or 1, "minute")
    if often:
        return f"{often} from {_clock(first, minutes[0])} to {_clock(last, minutes[-1])}"
    return f"at {numbered('minute', minutes)} of {numbered('hour', hours)}"


def _with_seconds(hours: Sequence[int], minutes: Sequence[int], seconds: Sequence[int]) -> str:
    often = _often("second", seconds)
    if len(hours) == 24 and len(minutes) == 60:
        return often or f"every minute at {numbered('second', seconds)}"
    of_minutes = "every minute" if len(minutes) == 60 else numbered("minute", minutes)
    of_hours = "every hour" if len(hours) == 24 else numbered("hour", hours)
    return f"{often or 'at ' + numbered('second', seconds)} of {of_minutes} of {of_hours}"


def _often(unit: str, numbers: Sequence[int]) -> str | None:
    """``every minute``, ``every 15 minutes``: where the numbers go evenly round the clock."""
    step = 1 if len(numbers) == 60 else _even(numbers, 60)
    return None if step is None else every(step, unit)


def _even(numbers: Sequence[int], size: int) -> int | None:
    step = step_of(numbers)
    return step if step and step > 1 and list(numbers) == list(range(0, size, step)) and size % step == 0 else None


def _clock(hour: int, minute: int, second: int | None = None) -> str:
    return f"{hour:02}:{minute:02}" + ("" if second is None else f":{second:02}")
