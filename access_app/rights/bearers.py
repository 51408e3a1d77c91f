"""Credentials besides API keys, by how they begin. Said by the app that gives them out: nothing here knows what for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from access_app.rights.callers import Caller

#: Who has sent a credential; None: it is none of ours. Asks no database.
Read = Callable[[str], Caller | None]

_known: Final[dict[str, Read]] = {}


def register(prefix: str, read: Read) -> None:
    """Name the function that reads credentials which begin so. The last one counts."""
    _known[prefix] = read


def reader_of(credential: str) -> Read | None:
    """What reads it; None: it would be an API key."""
    return next((read for prefix, read in _known.items() if credential.startswith(prefix)), None)
