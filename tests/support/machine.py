"""What the figures were measured on: machine, versions, commit, and who else was using the processors."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from tests.support.processes import cpu_of_family

ROOT = Path(__file__).resolve().parents[2]


def describe(server_version: str) -> dict[str, Any]:
    """Machine and versions, as they stand above the tables."""
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "django": version("django"),
        "psycopg": f"{version('psycopg')} ({_psycopg_impl()})",
        "postgresql": server_version,
        "commit": _commit(),
    }


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _psycopg_impl() -> str:
    import psycopg

    return psycopg.pq.__impl__


def _commit() -> str:
    """The commit, with a + when engine files differ from it."""
    try:
        git = ["git", "-C", str(ROOT)]
        commit = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True)
        code = [
            "--",
            "scheduler_project",
            "access_app",
            "tasks_app",
            "flow_app",
            "schedules_app",
            "workers_app",
            "monitoring_app",
        ]
        changed = subprocess.run([*git, "status", "--porcelain", *code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.strip() + ("+" if changed.stdout.strip() else "")


class Others:
    """How many cores processes that are not the bench's kept busy since this was made.

    The server may have been restarted meanwhile: what its former process had used since then is counted as others'.
    """

    def __init__(self, server_pid: Callable[[], int]) -> None:
        self._server_pid = server_pid
        self._before = self._read()

    def cores(self) -> float:
        (began, busy, ours), (now, busy_now, ours_now) = self._before, self._read()
        used = sum(seconds - ours.get(pid, 0.0) for pid, seconds in ours_now.items())
        return round(max(0.0, (busy_now - busy) - used) / max(now - began, 0.01), 2)

    def _read(self) -> tuple[float, float, dict[int, float]]:
        times = psutil.cpu_times()
        busy = sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))
        return time.monotonic(), busy, {pid: cpu_of_family(pid) for pid in (os.getpid(), self._server_pid())}
