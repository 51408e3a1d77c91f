"""Whether this worker may run a SHELL payload, and which of its variables the program gets. Pure.

With SHELL_ALLOWED_COMMANDS the operator has chosen programs, and a task may only choose their arguments. Almost any
variable can turn a program into another one (``BASH_ENV``, ``PERL5OPT``, ``GIT_SSH_COMMAND``, ``PYTHONWARNINGS`` with
``BROWSER`` …), and nobody can list them all; so a task sets none but those that the operator has listed too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tasks_app.conf import Config
from tasks_app.executors.base import Execution, JsonObject

_INHERITED = re.compile(rb"PATH|HOME|LANG|LC_\w+|TZ|TMPDIR")
#: Names that a refusal lists; a payload may bring thousands.
_MOST_NAMED = 5


def refusal(payload: JsonObject, config: Config) -> str | None:
    """Why this worker must not run this payload, if it must not; trying again would not help."""
    if not config.shell_tasks_enabled:
        return "SHELL tasks are switched off here: SHELL_TASKS_ENABLED is false"
    if not config.shell_allowed_commands:
        return None
    if "argv" not in payload or payload["argv"][0] not in config.shell_allowed_commands:
        return "SHELL_ALLOWED_COMMANDS is set, and only lets argv tasks run whose first element it lists"
    if refused := sorted(payload.get("environment", {}).keys() - set(config.shell_allowed_environment)):
        return (
            "SHELL_ALLOWED_COMMANDS is set, and lets environment name only what SHELL_ALLOWED_ENVIRONMENT lists: "
            f"not {_some(refused)}"
        )
    return None


def environment_of(execution: Execution, environ: Mapping[bytes, bytes], config: Config) -> dict[str, str]:
    """A few harmless variables of the worker, those of the payload, and which attempt this is. Nothing else."""
    # `environ` is bytes: the worker's locale may not be UTF-8, which is what the shepherd encodes with.
    inherited = {_text(name): _text(value) for name, value in environ.items() if _INHERITED.fullmatch(name)}
    if config.shell_allowed_commands and "PATH" in inherited:
        inherited["PATH"] = _without_relative(inherited["PATH"])
        if not inherited["PATH"]:  # which would mean the working directory as well; without one the system's is used
            del inherited["PATH"]
    scheduled_for = execution.scheduled_for_text
    return {
        **inherited,
        **execution.payload.get("environment", {}),
        "TASK_ID": str(execution.task_id),
        "TASK_ATTEMPT": str(execution.attempt),
        "TASK_CORRELATION_ID": execution.correlation_id,
        **({} if execution.token is None else {"TASK_SCHEDULER_TOKEN": execution.token}),
        **({} if execution.batch_id is None else {"TASK_BATCH_ID": execution.batch_id}),
        **({} if scheduled_for is None else {"SCHEDULED_FOR": scheduled_for}),
    }


def _without_relative(path: str) -> str:
    """``.`` and empty entries mean the working directory, which the task chooses: a listed name must not be there."""
    return ":".join(entry for entry in path.split(":") if entry.startswith("/"))


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
