"""How it is written who may approve something: ``group:NAME``, its members, or ``scope:NAME``, who holds it."""

from __future__ import annotations

from typing import Any, Final

from access_app.rights.grants import scopes
from access_app.texts import problem_of_line

GROUP: Final = "group"
SCOPE: Final = "scope"
#: As Django's names of groups.
_LONGEST: Final = 150


def problem_of_approvers(text: Any) -> str | None:
    """What is wrong with it; None for nothing. Whether there is such a group only the database knows."""
    if not isinstance(text, str):
        return "must be a string"
    kind, _, name = text.partition(":")
    if kind == SCOPE:
        return None if name in scopes() else f"there is no such scope; there are {', '.join(scopes())}"
    if kind != GROUP:
        return "must be group:NAME or scope:NAME"
    return problem_of_line(name, _LONGEST) if name else "must name the group: group:NAME"
