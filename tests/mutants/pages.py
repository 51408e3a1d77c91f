"""Mutants of pages that move and of what is found: who still sees them."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

PAGES: Final[list[Mutant]] = [
    *mutants_of(
        "viewers",
        "scheduler_project/accounts/viewers.py",
        "integration/test_admin_viewers.py",
        ("changed", 36, " if states.get(key) == each.state}", " if key in states}"),
        ("over", 36, " WHERE s.expire_date > now()\n", ""),
        ("room", 36, "if now - self._checked_at >=", "if session_key in self._known and now - self._checked_at >="),
        ("believed", 36, "if now - self._checked_at >= BELIEVED_SECONDS:", "if False:"),
    ),
    *mutants_of(
        "finding",
        "access_app/staff/finding.py",
        "integration/test_admin_finding.py",
        ("over", 36, "if time.monotonic() > over:", "if False:"),
        (
            "permission",
            36,
            "                if person.may(action):\n                    found",
            "                if True:\n                    found",
        ),
    ),
]
