"""Django's ``changepassword``, which leaves a row in the audit trail."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import changepassword

from scheduler_project.accounts.trail import acting_as
from tasks_app.management.base import ProjectCommand


class Command(ProjectCommand, changepassword.Command):
    def handle(self, *args: Any, **options: Any) -> str | None:
        self.require_migrations()
        with acting_as(lambda: "command:changepassword"):
            return super().handle(*args, **options)
