"""Which characters may stand in a text that people read in a list, a log or a terminal. Pure.

Refused are those that end a line, drive a terminal (C0 and C1 controls, ESC among them), or make a text read otherwise
than it is stored (Unicode's bidirectional controls, UAX #9 §2, tags and byte order marks). Joiners and no-break spaces
stay: languages are written with them.
"""

from __future__ import annotations

import json
import re
from typing import Final

MAX_REASON: Final = 500
MAX_NAME: Final = 100
#: The text of an id, as PostgreSQL and everybody else writes it.
UUID_TEXT: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
#: A NUL in the text of a JSON document, which no database text can hold: not one behind an escaped backslash.
JSON_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_UNSEEN: Final = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f"
#: Whatever must not reach a terminal as it is.
CONTROL: Final = re.compile(rf"[\x00-\x1f\x7f-\x9f\u2028\u2029{_UNSEEN}]")
#: What a page would not show, or what would turn round what it shows: all of those but tabs and line ends, and
#: characters without a width. Joiners of letters and signs (U+200C, U+200D) stay.
UNSEEN: Final = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    r"\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_CONTROL_BUT_LINES: Final = re.compile(rf"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029{_UNSEEN}]")


def problem_of_line(text: str, longest: int) -> str | None:
    """What is wrong with a text of one line; None for nothing."""
    return _problem(text, longest, CONTROL, "line breaks, control characters or characters that change its direction")


def problem_of_lines(text: str, longest: int) -> str | None:
    """What is wrong with a text that may have several lines, ended by LF; None for nothing."""
    return _problem(text, longest, _CONTROL_BUT_LINES, "control characters or characters that change its direction")


def problem_of_reason(text: str) -> str | None:
    """What is wrong with why somebody does something; None for nothing."""
    return problem_of_line(text, MAX_REASON)


def escaped(text: str) -> str:
    """The text with what must not reach a terminal written as escapes: ``\\x1b``, ``\\u202e``."""
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def seen_in_json(document: str) -> str:
    """The same JSON document with what cannot be seen written as JSON's own escapes: ``\\u202e``."""
    return UNSEEN.sub(lambda match: json.dumps(match[0])[1:-1], document)


def _problem(text: str, longest: int, refused: re.Pattern[str], what: str) -> str | None:
    if len(text) > longest:
        return f"must not be longer than {longest} characters"
    return f"must not contain {what}" if refused.search(text) else None


#: What an id may be that ties requests, log lines and tasks together.
CORRELATION_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
