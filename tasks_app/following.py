"""Who follows the output of tasks in this process: one thread reads for all of them, with one statement a look.

The thread lives while somebody follows, over a connection of its own. A follower is given the next page once it has
taken the last, so a slow one holds a page, whatever is written meanwhile. A database that is away is waited for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import structlog
from psycopg import Error

from access_app.database_faults import DatabaseAway, backoff
from tasks_app.sessions import Session
from tasks_app.task_output import Ask, Page, read_output

log = structlog.get_logger(__name__)

#: Seconds between two looks.
EVERY: Final = 0.15
#: Followers of one process whose server needs no thread for them while they wait.
MOST: Final = 200


class TooMany(Exception):
    """So many follow tasks from this process that it takes no more."""


class Follower:
    """One reader. ``wake`` is called from another thread when there is something to take."""

    def __init__(self, ask: Ask, wake: Callable[[], None]) -> None:
        self.ask = ask
        self._wake = wake
        self._page: Page | None = None
        self._taken = threading.Event()

    @property
    def waits(self) -> bool:
        return self._page is None

    def give(self, page: Page) -> None:
        self._page = page
        self.ask = self.ask._replace(after=page.next)
        self._taken.set()
        self._wake()

    def take(self, seconds: float = 0.0) -> Page | None:
        """The next page that says anything new; None when there is none within so many seconds."""
        if seconds:
            self._taken.wait(seconds)
        self._taken.clear()
        page, self._page = self._page, None
        return page


class Following:
    """All followers of this process."""

    def __init__(self) -> None:
        self._followers: set[Follower] = set()
        self._lock = threading.Lock()
        self._reading = False
        self._more = threading.Event()

    def __len__(self) -> int:
        return len(self._followers)

    def join(self, follower: Follower, *, most: int = MOST) -> None:
        """Raises `TooMany`."""
        with self._lock:
            if len(self._followers) >= most:
                raise TooMany
            if not self._reading:
                threading.Thread(target=self._read, name="following", daemon=True).start()  # which may fail
                self._reading = True
            self._followers.add(follower)
        self._more.set()

    def leave(self, follower: Follower) -> None:
        with self._lock:
            self._followers.discard(follower)
        self._more.set()

    def go_on(self) -> None:
        """Look at once: somebody has taken a page that was full."""
        self._more.set()

    def _read(self) -> None:
        session, failures = Session("following"), 0
        while not self._is_over():
            self._more.clear()
            try:
                self.look(session)
                failures = 0
            except Exception as error:  # a defect, too: nobody would start another thread for those who follow
                failures += 1
                if failures == 1:
                    is_away = isinstance(error, (DatabaseAway, Error))
                    words = str(error).strip()
                    log.warning("following_waits", followers=len(self), error=words, exc_info=not is_away)
            self._more.wait(backoff(failures) if failures else EVERY)
        session.close()

    def _is_over(self) -> bool:
        with self._lock:
            self._reading = bool(self._followers)
            return not self._reading

    def look(self, session: Session | None) -> None:
        """Give everybody who waits what is new. Over a session or Django's connection; raises as `read_output` does."""
        with self._lock:
            waiting = [follower for follower in self._followers if follower.waits]
        if waiting:
            for follower, page in zip(waiting, read_output([each.ask for each in waiting], session), strict=True):
                if page.parts or page.ended:
                    follower.give(page)


FOLLOWING: Final = Following()
