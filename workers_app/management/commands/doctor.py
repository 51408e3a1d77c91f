"""``manage.py doctor``: is everything as it should be, and if not, what to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from access_app.management.base import ProjectCommand
from workers_app.doctor import Finding, examine


class Command(ProjectCommand):
    help = (
        "Check clock, connection, wake-ups, processes, table health and invariants, and say what to do about each red"
        " line. Exit status 1 when there is one; 2 when the database is not migrated, so that nothing could be checked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print an object with ok and findings")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = self._reported(examine()) if options["json"] else self._shown(examine())
        red = {finding.name for finding in findings if not finding.ok}
        sys.exit(2 if "migrations" in red else 1 if red else 0)

    def _shown(self, findings: Iterable[Finding]) -> list[Finding]:
        """Print each finding when it is there: some take seconds."""
        seen = []
        for finding in findings:
            seen.append(finding)
            mark = self.style.SUCCESS("ok  ") if finding.ok else self.style.ERROR("RED ")
            self.stdout.write(f"{mark} {finding.name:<12} {finding.detail}")
            if not finding.ok:
                self.stdout.write(f"     → {finding.advice}")
        return seen

    def _reported(self, findings: Iterable[Finding]) -> list[Finding]:
        seen = list(findings)
        shown = [asdict(finding) | {"advice": "" if finding.ok else finding.advice} for finding in seen]
        self.stdout.write(json.dumps({"ok": all(finding.ok for finding in seen), "findings": shown}, indent=2))
        return seen
