"""SHELL attempts run by an executor, without worker and database, and what is alive of them."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from tasks_app.executors.base import Execution, Outcome
from tasks_app.executors.shell import ShellExecutor


def alive(mark: str) -> list[int]:
    """The living processes that have ``mark`` in their arguments."""
    found = []
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in cmdline.read_bytes():
                found.append(int(cmdline.parent.name))
        except OSError:
            continue
    return found


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def execution(payload: dict[str, Any], *, seconds: float = 30, task_id: Any = None) -> Execution:
    timeout, deadline = timedelta(seconds=seconds), time.monotonic() + seconds
    return Execution(task_id or uuid4(), 3, "SHELL", payload, timeout, "corr-1", deadline=deadline)


class Running:
    """An attempt in a thread, as in a worker's pool."""

    def __init__(self, executor: ShellExecutor, work: Execution) -> None:
        self.execution = work
        self._outcomes: list[Outcome] = []
        self._thread = threading.Thread(target=lambda: self._outcomes.append(executor.execute(work)))
        self._thread.start()

    def outcome(self, within: float) -> Outcome:
        self._thread.join(within)
        assert self._outcomes, f"still running after {within} s"
        return self._outcomes[0]
