"""The project as an app of its own: its commands, templates and static files, and who listens to accounts changing."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    name = "scheduler_project"

    def ready(self) -> None:
        for listeners in ("trail", "login_trail"):
            import_module(f"scheduler_project.accounts.{listeners}")
