"""A task type for tests, for TASK_EXECUTORS: its runs write down when they began and ended, outside the database.

Times are of the machine's monotonic clock, the same for all its processes, so that two runs can be compared whoever
made them. A run without an end was killed.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tasks_app.executors.base import Execution, JsonObject, Outcome

VARIABLE = "TEST_TRACE_FILE"
EXECUTOR = f"{__name__}.TraceExecutor"


class TraceExecutor:
    """Sleeps ``sleepDurationMs`` between its two lines; but what has to be run again is done at once."""

    type = "TRACE"
    required_scope: str | None = None

    def validate(self, payload: JsonObject) -> None:
        """Any payload will do."""

    def execute(self, execution: Execution) -> Outcome:
        _write("begin", execution)
        sleep = execution.payload.get("sleepDurationMs", 0) if execution.attempt == 1 else 0
        reason = execution.wait(sleep / 1000)
        _write("end", execution)
        return Outcome.stopped(reason, timeout=execution.timeout) if reason else Outcome.success()


@dataclass(frozen=True)
class Run:
    """One execution of a body. ``wall`` is when it began by the clock on its process's wall."""

    attempt: int
    began: float
    wall: float
    ended: float | None = None


@dataclass(frozen=True)
class Traces:
    """What the runs of one test wrote."""

    path: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"TASK_EXECUTORS": EXECUTOR, VARIABLE: str(self.path)}

    def runs(self) -> dict[str, list[Run]]:
        """The runs of each task id, in the order they began."""
        begun: dict[tuple[str, str, str], Run] = {}
        for line in self.path.read_text().splitlines() if self.path.exists() else []:
            what, task_id, attempt, process, at, wall = line.split()
            key = (task_id, attempt, process)
            if what == "begin":
                assert key not in begun, f"one process ran attempt {attempt} of task {task_id} twice"
                begun[key] = Run(int(attempt), float(at), float(wall))
            else:
                begun[key] = Run(int(attempt), begun[key].began, begun[key].wall, float(at))
        found = defaultdict(list)
        for (task_id, _, _), run in begun.items():
            found[task_id].append(run)
        return {task_id: sorted(runs, key=lambda run: run.began) for task_id, runs in found.items()}

    def check(self, succeeded: Iterable[str]) -> None:
        """No attempt was run twice, no two runs of a task overlap, and each success is that of a run."""
        found = self.runs()
        for task_id, runs in found.items():
            assert len({run.attempt for run in runs}) == len(runs), f"an attempt of {task_id} was run twice: {runs}"
            for first, second in pairwise(runs):
                overlap = first.ended is not None and second.began < first.ended
                assert not overlap, f"two runs of {task_id} at once: {runs}"
        missing = {task_id for task_id in succeeded if task_id not in found or found[task_id][-1].ended is None}
        assert missing == set(), "tasks that succeeded without a run"


def _write(what: str, execution: Execution) -> None:
    """One line in one write, so that lines of several processes do not mix."""
    line = f"{what} {execution.task_id} {execution.attempt} {os.getpid()} {time.monotonic():.6f} {time.time():.6f}\n"
    file = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
