"""``manage.py doctor``: is everything as it should be, and if not, what to do."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from workers_app.doctor import examine


class Command(BaseCommand):
    help = "Check clock, connection, wake-ups, processes, table health and invariants; exit 1 when a line is red."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        red = 0
        for finding in examine():
            red += not finding.ok
            mark = self.style.SUCCESS("ok  ") if finding.ok else self.style.ERROR("RED ")
            self.stdout.write(f"{mark} {finding.name:<12} {finding.detail}")
            if not finding.ok:
                self.stdout.write(f"     → {finding.advice}")
        sys.exit(1 if red else 0)
