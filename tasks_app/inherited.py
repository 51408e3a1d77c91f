"""The environment this process was started with, for the programs it starts.

Django sets ``TZ`` to its own TIME_ZONE as soon as settings are loaded, and so would turn the clock of every command to
UTC. ``scheduler_project/settings.py`` imports this module before that.
"""

from __future__ import annotations

import os

_ZONE = os.environb.get(b"TZ")


def environment() -> dict[bytes, bytes]:
    """What a child should inherit, as bytes: the locale may not be UTF-8."""
    zone = {} if _ZONE is None else {b"TZ": _ZONE}
    return {**{name: value for name, value in os.environb.items() if name != b"TZ"}, **zone}
