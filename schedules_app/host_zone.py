"""Whose clock this host is on: what cron's times mean that say nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from schedules_app.zones import UnknownZone, zone

#: systemd and most others link the one (localtime(5)); Debian writes the other, too.
LOCALTIME: Final = Path("/etc/localtime")
TIMEZONE: Final = Path("/etc/timezone")


def host_zone(localtime: Path = LOCALTIME, timezone: Path = TIMEZONE) -> str | None:
    """The IANA name, if the host says one. Not TZ: Django sets that for its own process."""
    for name in (_linked(localtime), _written(timezone)):
        try:
            if name:
                return zone(name).name
        except UnknownZone:
            continue
    return None


def _linked(path: Path) -> str:
    try:
        return str(path.resolve(strict=True)).partition("/zoneinfo/")[2]
    except OSError:
        return ""


def _written(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
