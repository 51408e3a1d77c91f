"""Django's registration of this app."""

import sys
from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class TasksAppConfig(AppConfig):
    name = "tasks_app"
    verbose_name = "Tasks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        _check_executors()
        post_migrate.connect(_make_pass_row, sender=self)


def _check_executors() -> None:
    """A path that leads nowhere is told at the start of every process, like any other bad setting."""
    from tasks_app.executors.registry import executors

    try:
        executors()
    except (ImportError, AttributeError, TypeError) as error:
        sys.stderr.write(f"TASK_EXECUTORS: {error}\n")
        sys.exit(2)


def _make_pass_row(using: str, **_: Any) -> None:
    """Without its row no scheduler could take the pass; a flushed database gets it back."""
    from tasks_app.models import SchedulerPass

    SchedulerPass.objects.using(using).get_or_create(name="assign")
