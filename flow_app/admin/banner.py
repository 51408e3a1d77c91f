"""What every page of the admin says at its top while something is frozen.

One look at the few freezes that are open serves all pages of a process for five seconds.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Final, NamedTuple

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from access_app.rights import Action
from access_app.staff import display
from access_app.staff.base import person_of
from flow_app.freeze_table import FreezeStatus, of_statuses
from flow_app.models import Freeze

#: Seconds for which a look is kept.
KEPT_FOR: Final = 5.0
#: Freezes that are named; of more it says that there are more.
MOST: Final = 3


class Incident(NamedTuple):
    """What is frozen: a row for each, and whether there are more. ``told``: the person may know what it is about."""

    freezes: list[dict[str, Any]]
    more: bool
    told: bool


_lock = threading.Lock()
_kept: tuple[float, list[Freeze]] | None = None


def forget() -> None:
    """Have the next page look: something was frozen or thawed here."""
    global _kept
    with _lock:
        _kept = None


def open_freezes() -> list[Freeze]:
    """The newest open ones, one more than are named, as they were at most `KEPT_FOR` ago."""
    global _kept
    with _lock:
        if _kept is None or time.monotonic() - _kept[0] >= KEPT_FOR:
            _kept = (time.monotonic(), list(Freeze.objects.filter(of_statuses([FreezeStatus.OPEN]))[: MOST + 1]))
        return _kept[1]


def incident(request: HttpRequest) -> dict[str, Any]:
    """A context processor: what the frame of pages shows, read when it is."""
    return {"incident": SimpleLazyObject(lambda: _incident(request))}


def _incident(request: HttpRequest) -> Incident | None:
    try:
        found = open_freezes()
    except (DatabaseError, InterfaceError):  # the page that says so must be drawn
        return None
    if not found:
        return None
    told = person_of(request).may(Action.FREEZE_READ)
    return Incident([_line(each) for each in found[:MOST]], len(found) > MOST, told)


def _line(freeze: Freeze) -> dict[str, Any]:
    return {
        "what": covered(freeze),
        "reason": display.words(freeze.reason),
        "by": freeze.created_by,
        "until": display.exact(freeze.until) if freeze.until else "",
        "url": display.page_url(freeze),
    }


def covered(freeze: Freeze, *, most: int = 5) -> str:
    """What a freeze names, in words: ``queues a, b; type SHELL``."""
    words = {"queues": ("queue", "queues"), "targets": ("host", "hosts"), "types": ("type", "types")}
    parts = []
    for kind, names in freeze.names.items():
        named = ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
        parts.append(f"{words[kind][len(names) > 1]} {named}")
    return "; ".join(parts)
