"""The project as an app of its own: its commands, templates and static files, the listeners to changed accounts, and
when the pages of the admin are imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from django.apps import AppConfig
from django.contrib.admin import autodiscover
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks


class ProjectConfig(AppConfig):
    name = "scheduler_project"
    default = True

    def ready(self) -> None:
        for listeners in ("trail", "login_trail"):
            import_module(f"scheduler_project.accounts.{listeners}")


class AdminConfig(SimpleAdminConfig):
    """Leaves the pages of the admin to ``urls.py``. Every worker and scheduler would import them, and show none."""

    def ready(self) -> None:
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(_check_pages, checks.Tags.admin)


def _check_pages(app_configs: Sequence[AppConfig] | None, **options: Any) -> list[checks.CheckMessage]:
    autodiscover()
    return check_admin_app(app_configs, **options)
