"""The server's first process: whether it lives, how it is stopped, and what its violent death leaves behind.

PostgreSQL takes any living process under the pid in its lock files for a postmaster, even a zombie (in containers whose
pid 1 reaps nothing) or a stranger with a re-used pid, and then does not start. So the process itself is looked at.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from scheduler_project.embedded.location import EmbeddedError, Location

# Seconds. On SIGINT sessions are cut and a checkpoint is written; on SIGQUIT all leave at once, unless they hang.
FAST, IMMEDIATE = 30.0, 5.0
PROGRAMS = ("postgres", "initdb", "pg_ctl")


class Postmaster:
    """The postmaster of one location, found by its pid file."""

    def __init__(self, location: Location) -> None:
        self.data_dir = location.data_dir
        self.pid_file = location.data_dir / "postmaster.pid"
        self.socket_files = (location.socket, location.socket.with_name(f"{location.socket.name}.lock"))

    @property
    def pid(self) -> int | None:
        """The pid of the living postmaster, None when there is none (or none visible from here)."""
        with suppress(OSError, ValueError, IndexError, psutil.Error):
            pid = int(self.pid_file.read_text().splitlines()[0])
            # Every process of PostgreSQL works in its data folder from its first moment. A zombie works nowhere.
            if Path(psutil.Process(pid).cwd()) == self.data_dir:
                return pid
        return None

    def stop(self) -> bool:
        """Shut down in PostgreSQL's fast mode, at the last in its immediate mode; return whether there was anything."""
        if (pid := self.pid) is None:
            return False
        for number, seconds in ((signal.SIGINT, FAST), (signal.SIGQUIT, IMMEDIATE), (signal.SIGKILL, IMMEDIATE)):
            with suppress(psutil.Error):
                psutil.Process(pid).send_signal(number)
            if _comes_true(lambda: self.pid is None, seconds):
                return True
        raise EmbeddedError(f"process {pid} does not end, not even when killed")

    def clean_up_after_crash(self) -> None:
        """End the processes of a dead postmaster and remove its lock files. Call it only when `pid` is None."""
        end_processes_of(self.data_dir)
        for file in (self.pid_file, *self.socket_files):
            file.unlink(missing_ok=True)


def end_processes_of(folder: Path) -> None:
    """End what still works on a data folder after its parent, a postmaster or the starter of an initdb, was killed."""
    for number in (signal.SIGQUIT, signal.SIGKILL):
        for process in _processes_of(folder):
            with suppress(psutil.Error):
                process.send_signal(number)  # psutil looks at the start time first: never at a re-used pid
        if _comes_true(lambda: not _processes_of(folder), IMMEDIATE):
            break


def _processes_of(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # gone meanwhile (zombies too), or another account's
            if process.name() in PROGRAMS and (Path(process.cwd()) == folder or str(folder) in process.cmdline()):
                found.append(process)
    return found


def _comes_true(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (happened := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return happened
