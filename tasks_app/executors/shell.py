"""SHELL: runs a program on the worker, and nothing of it outlives the attempt.

Here: one attempt from payload to outcome. What a payload may say is in `shell_payload`, whether it may run here and
what the program gets to see in `shell_policy`; the processes are in `shell_process` (the worker's side) and `shepherd`
(the other side), its output in `capture`, and why a program could not start in `shell_failures`.
"""

from __future__ import annotations

import errno
import os
import tempfile
from datetime import timedelta
from typing import Any, Final

from django.conf import settings

from tasks_app import inherited
from tasks_app.conf import Config
from tasks_app.executors import shell_failures, shell_process
from tasks_app.executors.base import Execution, JsonObject, Outcome, PayloadError
from tasks_app.executors.shell_launcher import LauncherProcess
from tasks_app.executors.shell_payload import argv_of, problems_of
from tasks_app.executors.shell_policy import environment_of, refusal
from tasks_app.executors.shell_process import Command, Ending
from tasks_app.states import ErrorCode

_OF_A_SHELL: Final[dict[int | None, str]] = {
    shell_failures.NOT_FOUND: ": its shell did not find a program, or the interpreter of a script (see stderr)",
    shell_failures.NOT_RUNNABLE: ": its shell found what to run, but it cannot be executed (see stderr)",
}


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
        if why := refusal(execution.payload, config):
            return Outcome.failure(ErrorCode.TASK_FAILED, why, retryable=False)
        if execution.stop_reason:
            return Outcome.stopped(execution.stop_reason, timeout=execution.timeout)
        command = Command(
            argv=argv_of(execution.payload),
            cwd=execution.payload.get("workingDirectory") or tempfile.gettempdir(),
            env=environment_of(execution, inherited.environment(), config),
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
    return Outcome.failure(
        ErrorCode.EXIT_CODE, _how(ending, shell="command" in execution.payload), result=_result(ending)
    )


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
    match step:
        case "exec":
            # As a shell would have it, so that `argv` and `command` fail alike.
            missing = number == errno.ENOENT
            ending.exit_code = shell_failures.NOT_FOUND if missing else shell_failures.NOT_RUNNABLE
            message = shell_failures.cannot_run(command.argv[0], number, cwd=command.cwd, env=command.env)
            return Outcome.failure(ErrorCode.EXIT_CODE, message, result=_result(ending))
        case "chdir":
            return Outcome.failure(ErrorCode.TASK_FAILED, shell_failures.cannot_enter(command.cwd, number))
    return Outcome.failure(ErrorCode.INTERNAL, f"the worker cannot start a process: {os.strerror(number)}")


def _how(ending: Ending, *, shell: bool) -> str:
    """How the program ended by itself, and what a shell means by its code, POSIX "Exit Status for Commands"."""
    if ending.signal is not None:
        return f"was ended by {ending.signal}"
    meanings = _OF_A_SHELL if shell else {}
    return f"exited with code {ending.exit_code}{meanings.get(ending.exit_code, '')}"


def _lost(ending: Ending) -> str | None:
    if ending.shepherd is None:
        return "the worker's launcher of processes does not answer"
    if not ending.reported:
        return "the process that watched over the task was killed; what was left of the task was killed too"
    if ending.stopped:
        return "killed because its worker was paused, or too busy to run, for most of its lease"
    return None
