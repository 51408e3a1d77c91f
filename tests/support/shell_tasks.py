"""SHELL attempts run by an executor, without worker and database, and what is alive of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from tasks_app.executors.base import Execution, Outcome
from tasks_app.executors.shell import ShellExecutor
from tests.support.machine import ROOT
from tests.support.waiting import eventually

#: How long the executors of these tests wait between TERM and KILL.
GRACE = timedelta(seconds=0.3)


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


HOST = """
import ctypes, os, sys, time
from datetime import timedelta
from uuid import uuid4
from tasks_app import conf
from tasks_app.executors.base import Execution
from tasks_app.executors.shell import ShellExecutor
from tasks_app.executors.kernel import PRYING_CAPABILITIES
if "hidden" in sys.argv:
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
if "inheritable" in sys.argv:
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capget(header, sets) == 0
    sets[2], sets[5] = sets[1], sets[4]
    assert ctypes.CDLL(None).capset(header, sets) == 0
payload = {"command": sys.stdin.read()}
work = Execution(uuid4(), 1, "SHELL", payload, timedelta(seconds=30), "c", deadline=time.monotonic() + 30)
outcome = ShellExecutor(config=conf.load(os.environ)).execute(work)
print(outcome.error_code, outcome.error_message, outcome.result["stdout"], end="")
"""


def worker(command: str, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """A process that runs one SHELL attempt and prints how it ended."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOST, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    with process.stdin:
        process.stdin.write(command)  # not an argument: only the task's processes shall bear the mark
    return process


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def ended(pid: int) -> bool:
    """Whether it is gone, or dead and not yet buried by whoever has to."""
    try:
        return state(pid) == "Z"
    except FileNotFoundError:
        return True


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def may_ptrace() -> bool:
    """Whether this process has CAP_SYS_PTRACE, which the executor takes from tasks."""
    effective = Path("/proc/self/status").read_text().partition("CapEff:\t")[2].split()[0]
    return bool(int(effective, 16) & 1 << 19)


def kill_and_wait(executor: ShellExecutor) -> None:
    pid = executor.launcher.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: state(pid) == "Z")
