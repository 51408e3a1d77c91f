"""Opening the gates that passes close: what waits for a target is seen again when the target has room.

A pass parks tasks whose target leaves no room (``park_behind_targets``), so that no pass reads them again.
Schedulers open as many as there is room for before each survey, as long as they know of any; the housekeeper looks
whether there are any that its scheduler does not know of. Which of them was first does not matter: the pass decides.
"""

from __future__ import annotations

from typing import NamedTuple

from flow_app.outlook import Outlook
from tasks_app.sessions import BATCH, Session


class Opened(NamedTuple):
    """The last host that was looked at (None: the end), how many were, and how many tasks were opened.

    ``next_in``: seconds until the first of these hosts stops backing off; None: none does.
    """

    last_host: str | None
    hosts: int
    opened: int
    next_in: float | None


def open_targets(session: Session, *, after: str = "", limit: int = BATCH) -> Opened:
    """Open the gate for what targets behind the host ``after`` have room for. Raises `DatabaseAway`."""
    [opened] = session.rows("open_targets", {"after": after, "limit": limit}, of=Opened)
    return opened


def open_known(session: Session, outlook: Outlook) -> float:
    """Do so while this scheduler knows of any; return the seconds until a host stops backing off, infinite without one.

    The survey behind it looks at everything: what was opened has been due for long. Raises `DatabaseAway`.
    """
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


class Sweeper:
    """Opens what nobody knows of, some hosts each time, from one to the next."""

    def __init__(self) -> None:
        self._after = ""

    def sweep(self, session: Session) -> int:
        """Return how many tasks were opened. Raises `DatabaseAway`."""
        found = open_targets(session, after=self._after)
        self._after = found.last_host or ""
        return found.opened
