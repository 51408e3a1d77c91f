"""The project as an app of its own: its commands, templates and static files, and who listens to accounts changing."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    name = "scheduler_project"

    def ready(self) -> None:
        import_module("scheduler_project.accounts.trail")
