"""The names of IANA time zones, and which of them somebody may have meant. Pure but for reading the names once."""

from __future__ import annotations

import re
import unicodedata
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Final
from zoneinfo import available_timezones

#: What is compared of a name that is no zone.
_LONGEST: Final = 60
_MOST_HINTS: Final = 3
_OFFSET: Final = re.compile(r"(?:UTC|GMT|Z)?([+-])(\d{1,2})(?::?00)?", re.ASCII | re.IGNORECASE)
#: Abbreviations that are no zones: each is one half of a year, or means several places.
_ABBREVIATIONS: Final = {
    **dict.fromkeys(("CEST", "MEZ", "MESZ"), "Europe/Berlin"),
    **dict.fromkeys(("BST",), "Europe/London"),
    **dict.fromkeys(("EDT", "ET"), "America/New_York"),
    **dict.fromkeys(("CST", "CDT", "CT"), "America/Chicago"),
    **dict.fromkeys(("MDT", "MT"), "America/Denver"),
    **dict.fromkeys(("PST", "PDT", "PT"), "America/Los_Angeles"),
    "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
    **dict.fromkeys(("AEST", "AEDT"), "Australia/Sydney"),
    "Z": "UTC",
}


def hint(name: str) -> str:
    """Which zones are like a name that is none, as a question that goes on behind it; empty for none."""
    plain = unicodedata.normalize("NFKD", name[:_LONGEST]).encode("ascii", "ignore").decode()
    found = _alike(plain.strip().replace(" ", "_").lower())
    *most, last = found or [""]
    return f": did you mean {', '.join(most)}{' or ' if most else ''}{last}?" if last else ""


def _alike(name: str) -> list[str]:
    if name.upper() in _ABBREVIATIONS:
        return [_ABBREVIATIONS[name.upper()]]
    if offset := _OFFSET.fullmatch(name):
        # POSIX has the sign the other way round: Etc/GMT-2 is two hours ahead.
        other = f"Etc/GMT{'-' if offset[1] == '+' else '+'}{int(offset[2])}"
        return [other] if other.lower() in _names() else []
    if name in _names():
        return [_names()[name]]
    cities = [known for lower, known in _names().items() if lower.rpartition("/")[2] == name.rpartition("/")[2]]
    close = get_close_matches(name, _names(), n=_MOST_HINTS, cutoff=0.85)
    return (cities or [_names()[each] for each in close])[:_MOST_HINTS]


@cache
def _names() -> dict[str, str]:
    """In lower case, and as they are written. tzdata has them in a file; reading a directory takes a while."""
    try:
        names = resources.files("tzdata").joinpath("zones").read_text().split()
    except (ModuleNotFoundError, OSError):
        names = sorted(available_timezones())
    return {name.lower(): name for name in names}
