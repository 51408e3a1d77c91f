"""Django's registration of this app."""

import sys

from django.apps import AppConfig

from access_app import standing_rows
from access_app.rights import bearers, task_types


class TasksAppConfig(AppConfig):
    name = "tasks_app"
    verbose_name = "Tasks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        _check_executors()
        task_types.register(_scopes)
        _know_task_tokens()
        from tasks_app import reasons
        from tasks_app.why import why

        reasons.register(why)
        standing_rows.keep(self, "FailureMark", [1])


def _check_executors() -> None:
    """A path that leads nowhere is reported at the start of every process, like any other bad setting."""
    from tasks_app.executors.registry import executors

    try:
        executors()
    except (ImportError, AttributeError, TypeError) as error:
        sys.stderr.write(f"TASK_EXECUTORS: {error}\n")
        sys.exit(2)


def _know_task_tokens() -> None:
    from tasks_app import task_tokens

    bearers.register(task_tokens.PREFIX, task_tokens.caller_of)


def _scopes() -> dict[str, str | None]:
    """Which task types there are, and the scope that running each needs: what ``access_app.rights`` asks."""
    from tasks_app.executors.registry import executors

    return {name: executor.required_scope for name, executor in executors().items()}
