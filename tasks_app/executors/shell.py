"""SHELL: runs a program on the worker, and nothing of it outlives the attempt.

Here: whether it may run, what it gets to see, and what its ending means. What a payload may say is in `shell_payload`,
the processes are in `shell_process` (the worker's side) and `shepherd` (the other side), its output is in `capture`.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from datetime import timedelta
from typing import Any

from django.conf import settings

from tasks_app.conf import Config
from tasks_app.executors import shell_process
from tasks_app.executors.base import Execution, JsonObject, Outcome, PayloadError
from tasks_app.executors.shell_launcher import LauncherProcess
from tasks_app.executors.shell_payload import argv_of, problems_of
from tasks_app.executors.shell_process import Command, Ending
from tasks_app.states import ErrorCode

_INHERITED = re.compile(rb"PATH|HOME|LANG|LC_\w+|TZ|TMPDIR")
#: Variables that make a listed program load or run another one.
_LOADER = re.compile(r"PATH|LD_.*|DYLD_.*")
_NOT_FOUND, _NOT_RUNNABLE = 127, 126


class ShellExecutor:
    """Runs ``command`` by ``/bin/sh -c`` or ``argv`` as it is. Shared by all pool threads."""

    type = "SHELL"
    required_scope: str | None = "tasks:shell"

    def __init__(self, *, config: Config | None = None, grace: timedelta = timedelta(seconds=5)) -> None:
        """``grace``: from TERM to KILL. ``config``: instead of ``settings.SCHEDULER``, for tests."""
        self._config = config
        self._grace = grace
        self.launcher = LauncherProcess()

    def validate(self, payload: JsonObject) -> None:
        if problems := problems_of(payload):
            raise PayloadError(problems)

    def execute(self, execution: Execution) -> Outcome:
        config = self._config or settings.SCHEDULER
        if refusal := _refusal(execution.payload, config):
            return Outcome.failure(ErrorCode.TASK_FAILED, refusal, retryable=False)
        if execution.stop_reason:
            return Outcome.stopped(execution.stop_reason, timeout=execution.timeout)
        command = Command(
            argv=argv_of(execution.payload),
            cwd=execution.payload.get("workingDirectory") or tempfile.gettempdir(),
            env=_environment(execution),
            grace=self._grace.total_seconds(),
            silence=_longest_silence(config).total_seconds(),
        )
        try:
            ending = shell_process.run(self.launcher, execution, command)
        except OSError as error:
            return Outcome.failure(ErrorCode.INTERNAL, f"the worker cannot start a process: {error.strerror or error}")
        return _outcome(execution, ending, command)

    def close(self) -> None:
        """End the launcher; also happens when the worker exits, however it does."""
        self.launcher.close()


# -- what the program gets to see


def _environment(execution: Execution) -> dict[str, str]:
    """A few harmless variables of the worker, those of the payload, and which attempt this is. Nothing else."""
    # As bytes: the worker's locale may not be UTF-8, which is what the shepherd encodes with.
    inherited = {name: value for name, value in os.environb.items() if _INHERITED.fullmatch(name)}
    scheduled_for = execution.scheduled_for_text
    return {
        **{_text(name): _text(value) for name, value in inherited.items()},
        **execution.payload.get("environment", {}),
        "TASK_ID": str(execution.task_id),
        "TASK_ATTEMPT": str(execution.attempt),
        "TASK_CORRELATION_ID": execution.correlation_id,
        **({} if scheduled_for is None else {"SCHEDULED_FOR": scheduled_for}),
    }


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _refusal(payload: JsonObject, config: Config) -> str | None:
    """Why this worker must not run this payload, if it must not; trying again would not help."""
    allowed = config.shell_allowed_commands
    if not config.shell_tasks_enabled:
        return "SHELL tasks are switched off here: SHELL_TASKS_ENABLED is false"
    if not allowed:
        return None
    if "argv" not in payload or payload["argv"][0] not in allowed:
        return "SHELL_ALLOWED_COMMANDS is set, and only lets argv tasks run whose first element it lists"
    if refused := sorted(name for name in payload.get("environment", {}) if _LOADER.fullmatch(name)):
        return f"SHELL_ALLOWED_COMMANDS is set: {', '.join(refused)} could make a listed command run another one"
    return None


def _longest_silence(config: Config) -> timedelta:
    """How long a shepherd goes without a sign of life of its worker before it kills the task.

    A worker paused as a whole (SIGSTOP, a frozen VM) cannot drop its work when its lease ends; the shepherd does. Its
    last sign may be one heartbeat interval younger than the last beat that was accepted.
    """
    return config.heartbeat_timeout - config.lease_margin - config.heartbeat_interval


# -- what the ending means


def _outcome(execution: Execution, ending: Ending, command: Command) -> Outcome:
    if ending.exit_code == 0 and not ending.stopped:
        return Outcome.success(_result(ending))
    if execution.stop_reason:
        return Outcome.stopped(execution.stop_reason, timeout=execution.timeout, result=_result(ending))
    if ending.failure:
        return _not_run(ending, command, *ending.failure)
    if lost := _lost(ending):
        return Outcome.failure(ErrorCode.INTERNAL, lost, result=_result(ending))
    how = f"exited with code {ending.exit_code}" if ending.signal is None else f"was ended by {ending.signal}"
    return Outcome.failure(ErrorCode.EXIT_CODE, how, result=_result(ending))


def _result(ending: Ending) -> dict[str, Any]:
    stdout, stdout_truncated = ending.stdout.text()
    stderr, stderr_truncated = ending.stderr.text()
    return {
        "exitCode": ending.exit_code,
        "signal": ending.signal,
        "stdout": stdout,
        "stderr": stderr,
        "stdoutTruncated": stdout_truncated,
        "stderrTruncated": stderr_truncated,
    }


def _not_run(ending: Ending, command: Command, step: str, number: int) -> Outcome:
    """The program never ran. Retryable: another worker, or a later minute, may have the program or the directory."""
    why = os.strerror(number)
    match step:
        case "exec":
            # As a shell would have it, so that `argv` and `command` fail alike.
            ending.exit_code = _NOT_FOUND if number == errno.ENOENT else _NOT_RUNNABLE
            message = f"cannot run {command.argv[0]!r}: {why}"
            return Outcome.failure(ErrorCode.EXIT_CODE, message, result=_result(ending))
        case "chdir":
            return Outcome.failure(ErrorCode.TASK_FAILED, f"cannot enter workingDirectory {command.cwd!r}: {why}")
    return Outcome.failure(ErrorCode.INTERNAL, f"the worker cannot start a process: {why}")


def _lost(ending: Ending) -> str | None:
    if ending.shepherd is None:
        return "the worker's launcher of processes does not answer"
    if not ending.reported:
        return "the process that watched over the task was killed; what was left of the task was killed too"
    if ending.stopped:
        return "killed because its worker was paused, or too busy to run, for most of its lease"
    return None
