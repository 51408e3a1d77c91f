"""Who may log in, and how many passwords are looked at at a time.

Only active members of staff: nobody else has anything here that a session would open. Django's own backend lets others
pass, and its login form refuses them afterwards, which nobody would count as a failure.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from scheduler_project.accounts.browsers import browser_of

#: Passwords that one process looks at at a time. Each takes a processor for a good part of a second, and strangers with
#: many addresses could otherwise have all threads do nothing else. Known browsers have a place of their own.
STRANGERS: Final = threading.BoundedSemaphore(2)
KNOWN: Final = threading.BoundedSemaphore(1)


class Busy(Exception):
    """All places are taken: the password was not looked at, and nothing is counted."""


class StaffBackend(ModelBackend):
    """Raises `Busy`. A session ends with the staff status of its account, too."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> Any:
        places = KNOWN if request is not None and browser_of(request, username or "") else STRANGERS
        if not places.acquire(blocking=False):
            raise Busy
        try:
            return super().authenticate(request, username, password, **kwargs)
        finally:
            places.release()

    def user_can_authenticate(self, user: Any) -> bool:
        return super().user_can_authenticate(user) and bool(getattr(user, "is_staff", False))
