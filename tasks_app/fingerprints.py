"""What makes failures alike: their type, code and message, without what is another one each time. Pure.

A message loses its numbers, ids (UUIDs, hex, letters mixed with digits), quoted texts, URLs and addresses: two of them
that differ in nothing else have one shape. Paths stay, but for the numbers and ids in them: that another program is
missing is another failure. The status of a response and the exit code of a command stay as well.

Messages come from outside. No more than `LOOKED_AT` characters are looked at, and each pattern reads them once: none
begins in the middle of what it could have begun before, and what it reads in vain is bounded.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Final

from tasks_app.states import ErrorCode

#: Characters of a message that count: whatever follows may be a whole page.
LOOKED_AT: Final = 2_000
#: Hexadecimal digits of a fingerprint.
LENGTH: Final = 16
FINGERPRINT: Final = re.compile(rf"[0-9a-f]{{{LENGTH}}}", re.ASCII)
#: What stands for a number or an id.
SOME: Final = "#"

#: Codes whose messages begin with a number that says what went wrong.
_NUMBERED: Final = frozenset({ErrorCode.HTTP_STATUS, ErrorCode.EXIT_CODE})
_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
#: A quote that closes a word, as in "can't", opens nothing.
_QUOTES: Final = re.compile(
    r""""[^"\n]*"|(?<!\w)'[^'\n]*'(?!\w)|`[^`\n]*`"""
    # Neither of the two may stand within, or each that is never closed would be read to the end.
    r"|\u201c[^\u201c\u201d\n]*\u201d|\u2018[^\u2018\u2019\n]*\u2019|\u00ab[^\u00ab\u00bb\n]*\u00bb"
)
_URLS: Final = re.compile(r"(?<![\w+.-])[A-Za-z][\w+.-]{0,20}://\S*")
_ADDRESSES: Final = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w.-]+")
_UUIDS: Final = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Za-z])")
#: Also the time of day, which looks like one.
_IPV6: Final = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
#: In this order: a URL may stand in quotes, and has what looks like an address.
_WHOLE: Final = ((_QUOTES, "<text>"), (_URLS, "<url>"), (_ADDRESSES, "<address>"), (_UUIDS, SOME), (_IPV6, SOME))
_WORDS: Final = re.compile(r"[^\W_]+")
_DIGITS: Final = re.compile(r"\d+")
_HEX: Final = re.compile(r"0[xX][0-9A-Fa-f]+|(?=[A-Fa-f]*[0-9])[0-9A-Fa-f]{6,}", re.ASCII)
#: Of letters and digits in turn, a word of so many characters is an id.
_MIXED: Final = 8
#: 10.0.0.1:5432, 2030-01-31: numbers that are one; and lists of any length.
_JOINED: Final = re.compile(r"#(?:[-.:,/_+]#)+")
_LISTED: Final = re.compile(r"(#|<text>)(?:,? (?:#|<text>))+")
_SPACE: Final = re.compile(r"\s+")


def fingerprint_of(task_type: str, code: str, message: str) -> str:
    """The name of the group that a failure belongs to; the same in every process and release."""
    alike = json.dumps([task_type, code, _number_in(code, message), shape_of(message)])
    return hashlib.sha256(alike.encode()).hexdigest()[:LENGTH]


def shape_of(message: str) -> str:
    """A message without what is another one each time."""
    text = message[:LOOKED_AT]
    for pattern, instead in _WHOLE:
        text = pattern.sub(instead, text)
    text = _WORDS.sub(_without_id, text)
    text = _LISTED.sub(r"\1", _JOINED.sub(SOME, _SPACE.sub(" ", text)))
    return text.strip()


def _number_in(code: str, message: str) -> str:
    found = _NUMBER.search(message[:LOOKED_AT]) if code in _NUMBERED else None
    return found[0] if found else ""


def _without_id(found: re.Match[str]) -> str:
    word = found[0]
    runs = len(_DIGITS.findall(word))
    if not runs:
        return word
    if _HEX.fullmatch(word) or (runs > 1 and len(word) >= _MIXED):
        return SOME
    return _DIGITS.sub(SOME, word)
