"""Who may log in: active members of staff. Nobody else has anything here that a session would open.

Django's own backend lets others pass and its login form refuses them afterwards, which nobody would count as a failure.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend


class StaffBackend(ModelBackend):
    """A session ends with the staff status of its account, too."""

    def user_can_authenticate(self, user: Any) -> bool:
        return super().user_can_authenticate(user) and bool(getattr(user, "is_staff", False))
