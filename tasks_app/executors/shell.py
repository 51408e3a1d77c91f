"""SHELL: runs a program on the worker, and nothing of it outlives the attempt.

Here: one attempt from payload to outcome. What a payload may say is in `shell_payload`, whether it may run here and
what the program gets to see in `shell_policy`; the processes are in `shell_process` (the worker's side) and `launcher`
(the other side), how far they are confined in `shell_sandbox`, their output in `capture`, and what is said of those
that fail in `shell_failures`.
"""

from __future__ import annotations

import errno
import tempfile
from datetime import timedelta

from django.conf import settings

from tasks_app import inherited
from tasks_app.conf import Config, Sandbox
from tasks_app.executors import shell_failures, shell_process, shell_sandbox
from tasks_app.executors.base import Execution, JsonObject, Outcome, PayloadError
from tasks_app.executors.shell_docs import DOCS
from tasks_app.executors.shell_launcher import LauncherProcess
from tasks_app.executors.shell_payload import argv_of, input_at, problems_of
from tasks_app.executors.shell_policy import environment_of, refusal
from tasks_app.executors.shell_process import Command, Ending
from tasks_app.references import Kind, Place
from tasks_app.states import ErrorCode


class ShellExecutor:
    """Runs ``command`` by ``/bin/sh -c`` or ``argv`` as it is. Shared by all pool threads."""

    type = "SHELL"
    required_scope: str | None = "tasks:shell"
    docs = DOCS

    def __init__(self, *, config: Config | None = None, grace: timedelta = timedelta(seconds=5)) -> None:
        """``grace``: from TERM to KILL. ``config``: instead of ``settings.SCHEDULER``, for tests."""
        self._config = config
        self._grace = grace
        self.launcher = LauncherProcess()

    def validate(self, payload: JsonObject) -> None:
        if problems := problems_of(payload):
            raise PayloadError(problems)

    def input_at(self, payload: JsonObject, place: Place) -> Kind:
        return input_at(payload, place)

    def execute(self, execution: Execution) -> Outcome:
        config = self._config or settings.SCHEDULER
        folder = execution.payload.get("workingDirectory")
        if why := refusal(execution.payload, config) or shell_sandbox.folder_problem(folder, config):
            return Outcome.failure(ErrorCode.TASK_FAILED, why, retryable=False)
        if execution.stop_reason:
            return Outcome.stopped(execution.stop_reason, timeout=execution.timeout)
        command = self._command(execution, config)
        try:
            ending = shell_process.run(self.launcher, execution, command)
        except OSError as error:
            return Outcome.failure(ErrorCode.INTERNAL, shell_failures.cannot_start("fork", error.errno or 0))
        return _outcome(execution, ending, command, config.shell_sandbox)

    def _command(self, execution: Execution, config: Config) -> Command:
        limits = shell_sandbox.limits_of(execution, config)
        environ = inherited.environment()
        if limits:
            environ.pop(b"TMPDIR", None)  # it gets one of its own
        return Command(
            argv=argv_of(execution.payload),
            cwd=execution.payload.get("workingDirectory") or (None if limits else tempfile.gettempdir()),
            env=environment_of(execution, environ, config),
            grace=self._grace.total_seconds(),
            silence=_longest_silence(config).total_seconds(),
            limits=limits,
            sandbox=shell_sandbox.sandbox_of(config),
        )

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


def _outcome(execution: Execution, ending: Ending, command: Command, level: Sandbox) -> Outcome:
    result = _result(ending, level)
    if ending.exit_code == 0 and not ending.stopped:
        return Outcome.success(result)
    if execution.stop_reason:
        return Outcome.stopped(execution.stop_reason, timeout=execution.timeout, result=result)
    if ending.failure:
        return _not_run(result, command, *ending.failure)
    if lost := _lost(ending):
        return Outcome.failure(ErrorCode.INTERNAL, lost, result=result)
    how = shell_failures.ended(result, shell="command" in execution.payload)
    return Outcome.failure(ErrorCode.EXIT_CODE, how, result=result)


def _result(ending: Ending, level: Sandbox) -> JsonObject:
    stdout, stdout_truncated = ending.stdout.text()
    stderr, stderr_truncated = ending.stderr.text()
    return {
        "exitCode": ending.exit_code,
        "signal": ending.signal,
        "stdout": stdout,
        "stderr": stderr,
        "stdoutTruncated": stdout_truncated,
        "stderrTruncated": stderr_truncated,
        "cpuMs": ending.cpu_ms,
        "maxRssBytes": ending.peak_rss,
        "sandbox": level.value,
    }


def _not_run(result: JsonObject, command: Command, step: str, number: int) -> Outcome:
    """The program never ran. Retryable: another worker, or a later minute, may have the program or the directory."""
    match step:
        case "exec":
            # As a shell would have it, so that `argv` and `command` fail alike.
            missing = number == errno.ENOENT
            result["exitCode"] = shell_failures.NOT_FOUND if missing else shell_failures.NOT_RUNNABLE
            message = shell_failures.cannot_run(command.argv[0], number, cwd=command.cwd or "/", env=command.env)
            return Outcome.failure(ErrorCode.EXIT_CODE, message, result=result)
        case "chdir" if command.cwd is not None:
            return Outcome.failure(ErrorCode.TASK_FAILED, shell_failures.cannot_enter(command.cwd, number))
    return Outcome.failure(ErrorCode.INTERNAL, shell_failures.cannot_start(step, number))


def _lost(ending: Ending) -> str | None:
    if ending.shepherd is None:
        return "the worker's launcher of processes does not answer"
    if not ending.reported:
        return "the process that watched over the task was killed; what was left of the task was killed too"
    if ending.stopped:
        return "killed because its worker was paused, or too busy to run, for most of its lease"
    return None
