"""Opening the gates that passes close: what waits for a target is seen again when the target has room and tokens, and
what waits for a token of its concurrency key when there is one. What waits for a thaw: ``thawing.py``.

A pass parks tasks whose target leaves no room (``park_behind_targets``), or whose key has no token
(``park_behind_rates``), so that no pass reads them again. Schedulers open as many as there is room for before each
survey, as long as they know of any; the housekeeper looks whether there are any that its scheduler does not know of,
because another one parked them, and tells it. Which of them was first does not matter: the pass decides.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from flow_app import thawing
from flow_app.outlook import Outlook
from tasks_app.sessions import BATCH, Session

#: Seconds: tokens of keys that come as close to each other are waited for together.
TOGETHER: Final = 0.01


class Opened(NamedTuple):
    """The last host that was looked at (None: the end), how many were, and how many tasks were opened.

    ``next_in``: seconds until the first of these hosts stops backing off, or has a token; None: none does.
    """

    last_host: str | None
    hosts: int
    opened: int
    next_in: float | None


class OpenedKeys(NamedTuple):
    """How many keys were looked at, and tasks opened; seconds until the next key is to be looked at, None: none is."""

    keys: int
    opened: int
    next_in: float | None


def open_targets(session: Session, *, after: str = "", limit: int = BATCH) -> Opened:
    """Open the gate for what targets behind the host ``after`` have room for. Raises `DatabaseAway`."""
    [opened] = session.rows("open_targets", {"after": after, "limit": limit}, of=Opened)
    return opened


def open_keys(session: Session, *, limit: int = BATCH) -> OpenedKeys:
    """Open the gate for what concurrency keys that are to be looked at have tokens for. Raises `DatabaseAway`."""
    [opened] = session.rows("open_keys", {"limit": limit}, of=OpenedKeys)
    return opened


def open_known(session: Session, outlook: Outlook) -> float:
    """Open what this scheduler knows of; return the seconds until more may be opened, infinite when nobody knows.

    The survey behind it looks at everything when something was: it has been due for long. Raises `DatabaseAway`.
    """
    gates = _open_known_targets(session, outlook), _open_known_keys(session, outlook)
    return min(*gates, thawing.open_thawed(session, outlook))


def _open_known_keys(session: Session, outlook: Outlook) -> float:
    """One batch, so that passes come in between."""
    if not outlook.awaits_tokens:
        return float("inf")
    found = open_keys(session)
    if found.opened:
        outlook.pairs.doubt()
    outlook.awaits_tokens = found.next_in is not None
    return float("inf") if found.next_in is None else max(found.next_in, TOGETHER)


def _open_known_targets(session: Session, outlook: Outlook) -> float:
    soonest, after = float("inf"), ""
    while outlook.gated:
        found = open_targets(session, after=after)
        if found.opened:
            outlook.pairs.doubt()
        if found.next_in is not None:
            soonest = min(soonest, found.next_in)
        if found.last_host is None:
            outlook.gated = bool(found.hosts or after)
            break
        after = found.last_host
    return soonest


class LastKey(NamedTuple):
    """The last concurrency key that was looked at; empty names behind the last of all."""

    queue: str
    concurrency_key: str
    released: int


def release_idle_keys(session: Session, *, after: tuple[str, str] = ("", ""), limit: int = BATCH) -> LastKey:
    """Make the next task of idle concurrency keys visible, of at most ``limit`` keys behind this (queue, key)."""
    queue, key = after
    rows = session.rows("release_idle_keys", {"queue": queue, "key": key, "limit": limit}, of=LastKey)
    return rows[0] if rows else LastKey("", "", 0)


class Sweeper:
    """Opens what nobody knows of, some hosts each time, from one to the next; its scheduler knows of it from then on.

    Schedulers that another one has left alone with what it had parked would else open a little every sweep.
    """

    def __init__(self, outlook: Outlook) -> None:
        self._after = ""
        self._outlook = outlook

    def sweep(self, session: Session) -> int:
        """Return how many tasks were opened. Raises `DatabaseAway`."""
        found = open_targets(session, after=self._after)
        self._outlook.gated |= found.hosts > 0
        self._after = found.last_host or ""
        return found.opened
