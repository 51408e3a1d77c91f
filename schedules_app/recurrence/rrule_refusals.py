"""Why a text is no RRULE, in one sentence that says the way out. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime
from difflib import get_close_matches
from typing import Final

from schedules_app.recurrence.phrases import joined

_FREQUENCIES: Final = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
#: Words that people write for a frequency, and how RFC 5545 says them.
_OTHER_FREQUENCIES: Final = {
    "FORTNIGHTLY": "WEEKLY with INTERVAL=2",
    "BIWEEKLY": "WEEKLY with INTERVAL=2",
    "QUARTERLY": "MONTHLY with INTERVAL=3",
    "WEEKDAYS": "WEEKLY with BYDAY=MO,TU,WE,TH,FR",
    "WEEKDAY": "WEEKLY with BYDAY=MO,TU,WE,TH,FR",
    "WEEKENDS": "WEEKLY with BYDAY=SA,SU",
    "ANNUALLY": "YEARLY",
}
_OTHER_PARTS: Final = {
    "DTSTART": "has DTSTART: use startAt, and timezone for its TZID",
    "EXDATE": "has EXDATE: use a blackout calendar for times to leave out",
    "RDATE": "has RDATE: make a task with scheduleAt for each time beside the rule",
    "EXRULE": "has EXRULE: use a blackout calendar for times to leave out",
}
_WHAT: Final = {
    "INTERVAL": "must be a whole number from 1 to 10000",
    "COUNT": "must be a whole number from 1 to 10000",
    "WKST": "must be one of MO, TU, WE, TH, FR, SA, SU",
    "BYMONTH": "must be numbers from 1 to 12",
    "BYMONTHDAY": "must be numbers from 1 to 31, or from -31 to -1 from the end",
    "BYYEARDAY": "must be numbers from 1 to 366, or from -366 to -1 from the end",
    "BYWEEKNO": "must be numbers from 1 to 53, or from -53 to -1 from the end",
    "BYDAY": "must be days as MO, TU, WE, TH, FR, SA, SU, or numbered as 1MO, -1FR",
    "BYHOUR": "must be numbers from 0 to 23",
    "BYMINUTE": "must be numbers from 0 to 59",
    "BYSECOND": "must be numbers from 0 to 59",
    "BYSETPOS": "must be numbers from 1 to 366, or from -366 to -1 from the end",
    "UNTIL": "must be a day as 20301231, or a time as 20301231T235959, with Z where it is in UTC",
}


def refusal_of_text(text: str) -> str | None:
    """What is wrong with a text as a whole; None where it can be read part by part."""
    upper = text.strip().upper()
    if not upper:
        return "must name its FREQ, as in FREQ=DAILY"
    for part, sentence in _OTHER_PARTS.items():
        if re.search(rf"\b{part}\b", upper):
            return sentence
    if len(re.findall(r"\bFREQ=", upper)) > 1 and ("\n" in upper or upper.count("RRULE") > 1):
        return "has several RRULEs: make a schedule of each"
    if upper.startswith("@") or re.fullmatch(r"(\S+\s+){4,5}\S+", upper):
        return "is a cron expression: use cron"
    if re.fullmatch(r"\d+", upper, re.ASCII):
        return f"is a number of seconds: use intervalSeconds: {upper[:9]}"
    if re.search(r"\s", upper):
        return "must not have blanks or line ends between its parts"
    return None


def unknown_part(name: str, known: Collection[str]) -> str:
    """What to write instead of a part that there is not."""
    if not name:
        return "has an empty part: a semicolon is too many"
    close = get_close_matches(name, known, n=1, cutoff=0.7)
    hint = f"did you mean {close[0]}?" if close else "only the parts of an RFC 5545 RRULE are known"
    return f"has an unknown part {name[:20]!r}: {hint}"


def bad_value(name: str, value: str) -> str:
    """What a part takes, and the way out of what was written."""
    return f"has {name}={value[:30]}: {_way_out(name, value)}"


def _way_out(name: str, value: str) -> str:
    if not value:
        return "must not be empty"
    if name == "FREQ":
        close = get_close_matches(value, _FREQUENCIES, n=1)
        other = _OTHER_FREQUENCIES.get(value) or (close[0] if close else "")
        return f"write {other}" if other else f"must be {joined(_FREQUENCIES, 'or')}"
    if name in ("BYDAY", "WKST") and (found := re.search(r"\b(MO|TU|WE|TH|FR|SA|SU)[A-Z]+", value)):
        return f"write {found[1]}"
    if name == "BYMONTH" and re.search("[A-Z]", value):
        return "write the number of the month"
    if name == "UNTIL":
        return _until(value)
    return _WHAT[name]


def _until(value: str) -> str:
    digits = re.sub(r"[-:]", "", value)
    if digits != value and re.fullmatch(r"\d{8}(T\d{6}Z?)?", digits, re.ASCII):
        return f"write {digits}"
    if re.fullmatch(r"\d{8}(T\d{6}Z?)?", value, re.ASCII):
        try:
            datetime.strptime(value[:8], "%Y%m%d")  # noqa: DTZ007 - whether there is such a day
        except ValueError:
            return "there is no such day"
        return "there is no such time of day"
    return _WHAT["UNTIL"]
