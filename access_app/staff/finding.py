"""What Ctrl-K finds: each app adds a finder for what people have at hand of it, an id or a name.

A finder is one statement or two that an index serves, or that reads a small table. A statement is given up after a
moment, and when all of them together have taken as long, the rest is. Who may not look at a kind of thing does not
find it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from access_app.patience import TooSlow, no_longer_than
from access_app.rights import Action, Person
from access_app.texts import UUID_TEXT

#: So many of each kind are shown.
MOST: Final = 5
#: Fewer characters are part of too many names.
LEAST_LETTERS: Final = 2
_LONGEST_TEXT: Final = 200
_LONGEST_SEARCH: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Found:
    """A page that somebody may have meant: what it is about, and what tells it from others of its kind."""

    kind: str
    title: str
    url: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody typed. ``as_id`` is the id in it, which may stand in an address or behind ``worker:``."""

    text: str
    as_id: UUID | None

    @property
    def is_name(self) -> bool:
        """Whether it may be a part of a name."""
        return self.as_id is None and len(self.text) >= LEAST_LETTERS


Finder = Callable[[Asked], Iterable[Found]]
_finders: list[tuple[Action, Finder]] = []


def finds(action: Action) -> Callable[[Finder], Finder]:
    """Make a function a finder, for those who may do ``action``."""

    def add(finder: Finder) -> Finder:
        _finders.append((action, finder))
        return finder

    return add


def read(text: str) -> Asked:
    """What was typed; nothing, if nothing is called that."""
    text = text.strip()
    if "\0" in text or len(text) > _LONGEST_TEXT:
        return Asked("", None)
    found = UUID_TEXT.search(text)
    return Asked(text, UUID(found[0]) if found else None)


def find(asked: Asked, person: Person) -> tuple[list[Found], bool]:
    """What there is, and whether all was looked for: not what takes more than a second, nor anything after one."""
    found: list[Found] = []
    if not asked.text:
        return found, True
    try:
        with no_longer_than(_LONGEST_SEARCH):
            over = time.monotonic() + _LONGEST_SEARCH.total_seconds()
            for action, finder in _finders:
                if time.monotonic() > over:
                    return found, False
                if person.may(action):
                    found += finder(asked)
    except TooSlow:
        return found, False
    return found, True
