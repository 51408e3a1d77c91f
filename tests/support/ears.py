"""Hearing what processes notify one another of."""

from __future__ import annotations

import time
from collections.abc import Callable

from tasks_app.sessions import Session
from tasks_app.wakeups import SCHEDULERS, WORKERS


class Ear:
    """Hears what is said on both channels."""

    def __init__(self, session: Session) -> None:
        self._session = session
        for channel in (SCHEDULERS, WORKERS):
            session.execute(f'LISTEN "{channel}"')

    def hears(self, until: Callable[[list[tuple[str, str]]], bool], timeout: float = 5) -> list[tuple[str, str]]:
        heard: list[tuple[str, str]] = []
        end = time.monotonic() + timeout
        while not until(heard):
            rest = end - time.monotonic()
            assert rest > 0, f"heard only {heard}"
            heard += self.listens(rest)
        return heard

    def listens(self, seconds: float) -> list[tuple[str, str]]:
        """What comes next, if it comes in time."""
        return [(m.channel, m.payload) for m in self._session.connection.notifies(timeout=seconds, stop_after=1)]
