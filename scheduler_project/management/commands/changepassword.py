"""Django's ``changepassword``, which leaves a row in the audit trail."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import changepassword

from access_app.management.base import ProjectCommand
from scheduler_project.accounts.trail import acting_as


class Command(ProjectCommand, changepassword.Command):
    def handle(self, *args: Any, **options: Any) -> str | None:
        self.require_migrations()
        with acting_as(lambda: "command:changepassword"):
            return super().handle(*args, **options)
