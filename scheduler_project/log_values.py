"""What may stand in a log line: plain values of bounded size, no secrets, no character that ends the line or moves the
cursor. Pure functions with structlog's signature; which of them run, and in which order, is said in ``logs``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from structlog.types import EventDict

from access_app.masking import mask_text, names_secret
from access_app.texts import CONTROL, escaped

HIDDEN: Final = "***"
LONGEST_TEXT: Final = 8_192
MOST_ITEMS: Final = 200
DEEPEST: Final = 8
#: Rendered by structlog itself, on lines of their own in the console format.
_TRACEBACKS: Final = frozenset({"exc_info", "exception", "stack"})

_NEWLINE_OR_TAB = re.compile(r"([\n\t])")


def plain_values(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Make every value one that JSON can carry; hide those whose name says that they are secret. Never raises."""
    return {
        str(name): value if name in _TRACEBACKS and isinstance(value, str) else _plain_item(name, value, 0)
        for name, value in event.items()
    }


def one_line(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Escape what would break the line, or drive the terminal, of a person who reads it."""
    for name, value in event.items():
        # Nothing that CONTROL finds is printable, and asking that is far cheaper.
        if isinstance(value, str) and not value.isprintable() and CONTROL.search(value):
            event[name] = _lines_escaped(value) if name in _TRACEBACKS else escaped(value)
    return event


def _lines_escaped(text: str) -> str:
    return "".join(part if _NEWLINE_OR_TAB.fullmatch(part) else escaped(part) for part in _NEWLINE_OR_TAB.split(text))


def as_json(_logger: Any, _method: str, event: EventDict) -> str:
    """One event as one line of JSON; takes only what `plain_values` has let through."""
    return json.dumps(event, separators=(",", ":"))


def hide_secrets(_logger: Any, _method: str, text: Any) -> Any:
    """Hide what looks like a credential in a URL, an Authorization header or a key anywhere in a rendered line."""
    return mask_text(text, HIDDEN)


def _plain_item(name: Any, value: Any, depth: int) -> Any:
    if value is not None and isinstance(name, str) and names_secret(name):
        return HIDDEN
    return _plain(value, depth)


def _plain(value: Any, depth: int) -> Any:
    if type(value) is str and len(value) <= LONGEST_TEXT:  # nearly all of them
        return value
    match value:
        case None | bool():
            return value
        case int():
            # Python refuses to print integers of more than 4,300 digits.
            return int(value) if abs(value) < 2**63 else f"{value:.17g}" if abs(value) < 2**1000 else "a huge number"
        case float():
            return float(value) if math.isfinite(value) else str(value)
        case str():
            return _shortened(_text(value))
        case Mapping() if depth < DEEPEST:
            return {_text(key): _plain_item(key, item, depth + 1) for key, item in _first(value.items())}
        case list() | tuple() | set() | frozenset() if depth < DEEPEST:
            return [_plain(item, depth + 1) for item in _first(value)]
        case _:
            return _shortened(_text(value))


def _first(items: Any) -> list[Any]:
    return [item for item, _ in zip(items, range(MOST_ITEMS), strict=False)]


def _text(value: Any) -> str:
    """``str(value)`` of anything, also of what cannot be printed."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - whatever a __str__ of somebody else's may raise
        return f"<{type(value).__name__} that cannot be printed: {type(error).__name__}>"


def _shortened(text: str) -> str:
    cut = len(text) - LONGEST_TEXT
    return text if cut <= 0 else f"{text[:LONGEST_TEXT]}… ({cut} characters more)"
