"""Processes under measurement or attack: started in sessions of their own, ended by pid, and what they cost."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]


class Program:
    """One command of the project. Its family is itself and everything below it."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._command = " ".join(arguments)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it lives."""
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it alone; nothing happens when it has ended."""
        self._process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Its exit status; raises subprocess.TimeoutExpired."""
        return self._process.wait(seconds)

    def check(self) -> None:
        """Raise RuntimeError when it has ended by itself."""
        if (status := self._process.poll()) is not None:
            raise RuntimeError(f"{self._command} ended with status {status}")

    def stop(self, patience: float = 10) -> None:
        """TERM, and after ``patience`` seconds KILL for it and its descendants."""
        members = list(family(self.pid))
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        members += [member for member in family(self.pid) if member not in members]
        for member in members:
            with contextlib.suppress(psutil.Error):  # psutil compares start times: never another's reused pid
                member.kill()
        self._process.wait(10)


def family(pid: int) -> Iterator[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        top = psutil.Process(pid)
        yield top
        yield from top.children(recursive=True)


def cpu_of_family(pid: int) -> float:
    """CPU seconds of a process, its living descendants, and the children they have waited for."""
    total = 0.0
    for process in family(pid):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def cpu_of(pid: int) -> float:
    with contextlib.suppress(psutil.Error):
        times = psutil.Process(pid).cpu_times()
        return times.user + times.system
    return 0.0


def memory_of_family(pid: int) -> tuple[float, float]:
    """RSS and PSS in MB; PSS counts shared pages once among all who share them."""
    rss = pss = 0
    for process in family(pid):
        with contextlib.suppress(psutil.Error, OSError):
            rss += process.memory_info().rss
            for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    pss += int(line.split()[1]) * 1024
    return rss / 2**20, pss / 2**20


class PeakMemory:
    """The largest memory of some families together; looks at most twice a second."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._next = 0.0
        self.rss = self.pss = 0.0

    def look(self) -> None:
        if (now := time.monotonic()) >= self._next:
            self._next = now + 0.5
            seen = [memory_of_family(pid) for pid in self._pids]
            self.rss = max(self.rss, sum(rss for rss, _ in seen))
            self.pss = max(self.pss, sum(pss for _, pss in seen))
