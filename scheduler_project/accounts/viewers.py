"""Who keeps looking at the overview, known together.

An open overview asks every five seconds. Reading session, account and permissions of each of fifty people each time
would cost more than what they look at. So who has been looked at in full is kept, with what they may see, and one
statement every few seconds asks about all of them: whose session, account or permissions are not what they were is
looked at in full again, or is signed out. In memory, of each process by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from django.db import connection

#: How long what is known of somebody is believed.
BELIEVED_SECONDS: Final = 5.0
#: Who has not asked for so long has closed the page.
_FORGOTTEN_SECONDS: Final = 60.0
_MOST: Final = 1_000

# What a session and its account are now, in one text each; sessions that are over have none. Primary keys.
_STATES: Final = """
SELECT asked.session_key,
       md5(concat_ws('|', s.session_data, u.password, u.username, u.is_active, u.is_staff, u.is_superuser,
           (SELECT string_agg(permission_id::text, ',' ORDER BY permission_id)
              FROM auth_user_user_permissions WHERE user_id = u.id), '/',
           (SELECT string_agg(permission_id::text, ',' ORDER BY group_id, permission_id)
              FROM auth_user_groups JOIN auth_group_permissions USING (group_id) WHERE user_id = u.id)))
  FROM unnest(%s::text[], %s::integer[]) AS asked(session_key, user_id)
  JOIN django_session AS s USING (session_key)
  JOIN auth_user AS u ON u.id = asked.user_id
 WHERE s.expire_date > now()
"""


def states_of(accounts: dict[str, int]) -> dict[str, str]:
    """A text for each session that is not over, by its key: another one when anything about it has changed."""
    with connection.cursor() as cursor:
        cursor.execute(_STATES, [list(accounts), list(accounts.values())])
        return dict(cursor.fetchall())


@dataclass(slots=True)
class Viewer:
    """Somebody who looks: ``may`` says of each part whether they see it."""

    account: int
    may: dict[str, bool]
    state: str
    asked_at: float


@dataclass(slots=True)
class Viewers:
    """Those of this process, by the key of their session. Safe to use from many threads."""

    clock: Callable[[], float] = time.monotonic
    _known: dict[str, Viewer] = field(default_factory=dict)
    _checked_at: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, session_key: str) -> dict[str, bool] | None:
        """What somebody may see, or None: they have to be looked at in full."""
        with self._lock:
            now = self.clock()
            if now - self._checked_at >= BELIEVED_SECONDS:
                self._check(now)
            viewer = self._known.get(session_key)
            if viewer is None:
                return None
            viewer.asked_at = now
            return viewer.may

    def remember(self, session_key: str, account: int, look: Callable[[], dict[str, bool]]) -> None:
        """Keep somebody, with what ``look`` says they may see: asked after the state, so that a change shows."""
        state = states_of({session_key: account}).get(session_key)
        may = look()
        with self._lock:
            if state is not None and len(self._known) < _MOST:
                self._known[session_key] = Viewer(account, may, state, self.clock())

    def _check(self, now: float) -> None:
        """Keep those who still look, and of whom everything is as it was."""
        looking = {key: each for key, each in self._known.items() if now - each.asked_at < _FORGOTTEN_SECONDS}
        self._known = {}  # whatever happens next
        states = states_of({key: each.account for key, each in looking.items()}) if looking else {}
        self._known = {key: each for key, each in looking.items() if states.get(key) == each.state}
        self._checked_at = now


VIEWERS: Final = Viewers()
