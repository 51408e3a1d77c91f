"""Task types of the campaign, for TASK_EXECUTORS: their bodies write down outside the system what they do."""

from __future__ import annotations

import os
import signal
import time

from tasks_app.executors.base import Execution, JsonObject, Outcome
from tasks_app.states import ErrorCode

FILE = "CHAOS_EFFECTS"
#: Seconds between two signs of life of a body that takes long: how exactly the log knows when it was cut off.
SLICE = 0.05


class EffectExecutor:
    """Sleeps for ``seconds``, and fails the attempts up to ``failures``."""

    type = "CHAOS_EFFECT"
    required_scope: str | None = None

    def validate(self, payload: JsonObject) -> None:
        """Any payload will do."""

    def execute(self, execution: Execution) -> Outcome:
        write_down("start", execution)
        end = time.monotonic() + execution.payload.get("seconds", 0)
        while (rest := end - time.monotonic()) > 0:
            if reason := execution.wait(min(SLICE, rest)):
                return Outcome.stopped(reason, timeout=execution.timeout)
            write_down("on", execution)
        write_down("end", execution)
        if execution.attempt <= execution.payload.get("failures", 0):
            return Outcome.failure(ErrorCode.TASK_FAILED, "fails by design")
        return Outcome.success()


class PoisonExecutor:
    """Takes its whole worker down, as a crash in native code would."""

    type = "CHAOS_POISON"
    required_scope: str | None = None

    def validate(self, payload: JsonObject) -> None:
        """Any payload will do."""

    def execute(self, execution: Execution) -> Outcome:
        write_down("start", execution)
        os.kill(os.getpid(), signal.SIGKILL)
        return Outcome.success()


def write_down(what: str, execution: Execution) -> None:
    """One line in one write, by a descriptor opened for it: nothing is buffered, nothing is shared with a fork."""
    line = f"{what} {execution.task_id} {execution.attempt} {os.getpid()} {time.time():.6f}\n"
    descriptor = os.open(os.environ[FILE], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
