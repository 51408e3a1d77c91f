"""Why a text is no cron expression, in one sentence that says the way out. Pure.

`refusal_of` explains what cronsim does not take, in the words of crontab(5) and for the dialects people come from:
Quartz, Jenkins, systemd, a line pasted from a crontab. `trap_in` finds what cron takes and nobody means.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

from schedules_app.recurrence.cron_terms import FIVE, LONG_NAMES, MONTH, NAMES, SECOND, Field, wrong
from schedules_app.recurrence.phrases import joined, ordinal

ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
FIELDS: Final = "must have five fields (minute hour day month weekday), six with seconds first, or be an @ name of cron"
#: What a field may be made of; a command is made of more.
_WORDS: Final = "|".join((*LONG_NAMES, *NAMES, "L", "W", "H"))
_LIKE_A_FIELD: Final = re.compile(rf"(?:[0-9*,/#?~-]|{_WORDS})+", re.ASCII | re.IGNORECASE)
_COMMAND: Final = "has a command behind its fields: give that in task.payload.command"
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_UNIT: Final = re.compile(r"s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?")
_LONGEST_SHOWN: Final = 40


def refusal_of(text: str) -> str:
    """What is wrong with a text that is no cron expression, and the way out."""
    return _not_fields(text) or next(_wrong_terms(text), "") or _no_such_day(text) or FIELDS


def trap_in(text: str) -> str | None:
    """What is wrong with an expression that can be read: a step that never gets to a second value."""
    for field, value in _fields(text):
        for term in value.split(","):
            step = term.partition("/")[2]
            if step.isdigit() and int(step) > field.size:
                return f"has {_shown(term)} in {field.name}: {_larger_step(field, int(step))}"
    return None


def _larger_step(field: Field, step: int) -> str:
    if field.seconds:
        return f"no {field.name} is so far from the first; use intervalSeconds: {step * field.seconds}"
    if field is MONTH:
        return f"a year has 12 months; use rrule: FREQ=MONTHLY;INTERVAL={step}"
    return "a week has 7 days; name the days"


def _not_fields(text: str) -> str | None:
    """What the text is instead, if it has not the number of fields."""
    stripped = text.strip()
    if found := re.match(r"(CRON_TZ|TZ)\s*=\s*(\S+)", stripped, re.IGNORECASE):
        return f"must not begin with {found[1].upper()}=: use timezone, here {_shown(found[2])}"
    if re.match(r"[A-Za-z_]+\s*=", stripped) and not stripped.upper().startswith("FREQ"):
        return "is a line that sets a variable, not a time: a SHELL task has payload.environment"
    if re.match(r"(RRULE:|FREQ=|DTSTART)", stripped, re.IGNORECASE):
        return "is an RRULE: use rrule"
    if "\n" in stripped:
        return "must be one expression: make a schedule of each line"
    if stripped.startswith("@"):
        return _at_name(stripped)
    if seconds := _seconds(stripped):
        return f"is a time that passes, not a time of the clock: use intervalSeconds: {seconds}"
    return _number_of_fields(stripped.split())


def _at_name(text: str) -> str:
    name, *rest = text.lower().split()
    if name == "@every":
        seconds = _seconds(text)
        return "must not be @every: use intervalSeconds" + (f": {seconds}" if seconds else "")
    if name == "@reboot":
        return "must not be @reboot, which is no time: have a service of the host create a task when it starts"
    if name in ALIASES and rest:
        return _COMMAND
    close = get_close_matches(name, ALIASES, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {joined(ALIASES)}"
    return f"has no name {_shown(name)}: {hint}"


def _seconds(text: str) -> int | None:
    """What a duration means (``300``, ``1h30m``, ``every 5 minutes``); None for any other text."""
    total, number = 0, None
    for token in re.findall(r"\d+|[a-z]+|\S", re.sub("^@?every", "", text.lower()), re.ASCII):
        if token.isascii() and token.isdigit() and number is None and len(token) < 7:
            number = int(token)
        elif number is not None and _UNIT.fullmatch(token):
            total, number = total + number * _UNITS[token[0]], None
        else:
            return None
    return total + (number or 0) or None


def _number_of_fields(fields: list[str]) -> str | None:
    if len(fields) < 5:
        return f"has {len(fields) or 'no'} field{'s' if len(fields) != 1 else ''}: {FIELDS}"
    if any(field.startswith("#") for field in fields[5:]):
        return "has a comment behind its fields: give that in description"
    if not all(_LIKE_A_FIELD.fullmatch(field) for field in fields[5:]):
        return _COMMAND if all(_LIKE_A_FIELD.fullmatch(field) for field in fields[:5]) else None
    if len(fields) == 7:
        return "has seven fields: a year is not taken, use startAt and endAt; six fields begin with the second"
    return f"has {len(fields)} fields: {FIELDS}" if len(fields) > 7 else None


def _fields(text: str) -> list[tuple[Field, str]]:
    expression = ALIASES.get(text.strip().lower(), text).upper().split()
    return list(zip((SECOND, *FIVE) if len(expression) == 6 else FIVE, expression, strict=False))


def _wrong_terms(text: str) -> Iterator[str]:
    for field, value in _fields(text):
        for term in value.split(","):
            if problem := wrong(field, term, value):
                yield f"has {_shown(term) or 'nothing'} in {field.name}: {problem}"


def _no_such_day(text: str) -> str | None:
    """cronsim refuses days that none of the months has."""
    values = {field.name: value for field, value in _fields(text)}
    days = [int(day) for day in re.findall(r"\d+", values.get("day of the month", ""))]
    if not days:
        return None
    numbers = [MONTH.number(term) for term in values["month"].split(",")]
    found = [calendar.month_name[number] for number in numbers if number]
    months = joined(found) if found and None not in numbers else "none of its months"
    has = "has" if len(found) == 1 or None in numbers else "have"
    no = "a" if months == "none of its months" else "no"
    return f"never fires: {months} {has} {no} {ordinal(min(days))}"


def _shown(text: str) -> str:
    shown = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
    return "".join(char if char.isprintable() else "�" for char in shown)
