"""How far SHELL tasks are confined on this worker: the levels of SHELL_SANDBOX, and whether one works here.

``none``: as an ordinary child of the worker. ``limits``: see `limits`, and a folder for temporary files of its own.
``landlock`` and ``bwrap``: also reads and executes only the system's folders, and writes only to its own folder and to
SHELL_WRITABLE_PATHS. A level that does not work refuses to run anything.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from tasks_app.conf import Config, Sandbox
from tasks_app.executors import landlock
from tasks_app.executors.base import Execution, Executor

#: Programs, libraries and configuration; nothing that belongs to an account.
_SYSTEM: Final = ("/bin", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/nix", "/opt", "/sbin", "/sys", "/usr")
#: Where /etc/resolv.conf leads to.
_RESOLVERS: Final = ("/run/resolvconf", "/run/systemd/resolve")
_MEGABYTE: Final = 2**20
#: More than the time-out: a program that is still there then has escaped everything else.
_CPU_RESERVE: Final = timedelta(seconds=5)
_PROBE_TAKES: Final = timedelta(seconds=20)


def limits_of(execution: Execution, config: Config) -> dict[str, Any] | None:
    """What `limits` is to apply, None at level ``none``."""
    if config.shell_sandbox is Sandbox.NONE:
        return None
    # For each process, and the threads of one may use every core for all of the time-out.
    cpu = (execution.timeout + _CPU_RESERVE).total_seconds() * _cores()
    memory, file = (value * _MEGABYTE or None for value in (config.shell_max_memory_mb, config.shell_max_file_mb))
    return {"cpu": math.ceil(cpu), "memory": memory, "file": file}


def sandbox_of(config: Config) -> dict[str, Any] | None:
    """What the shepherd's child is to enter, None below level ``landlock``."""
    match config.shell_sandbox:
        case Sandbox.LANDLOCK:
            folders = {"readable": [*_readable(), "/proc"], "writable": config.shell_writable_paths}
            return {"level": "landlock", **folders}
        case Sandbox.BWRAP:
            folders = {"readable": _readable(), "writable": config.shell_writable_paths}
            return {"level": "bwrap", "program": shutil.which("bwrap"), **folders}
    return None


def folder_problem(folder: str | None, config: Config) -> str | None:
    """Why a task may not start in ``folder`` at this level, if it may not: the task names it, so it opens nothing."""
    if folder is None or sandbox_of(config) is None:
        return None
    opened = [os.path.realpath(path) for path in (*_readable(), *config.shell_writable_paths)]
    with suppress(OSError):  # as with /proc/1/root: where the worker may not look there is nothing it has opened
        if _is_below(Path(os.path.realpath(folder)), opened):
            return None
    level = config.shell_sandbox.value
    return f"workingDirectory {folder!r} is outside what SHELL_SANDBOX={level} leaves: add it to SHELL_WRITABLE_PATHS"


def problem(config: Config, executor: Executor) -> str | None:
    """Why the level of this worker does not work here, None when it does. Runs a command at the stronger ones."""
    if not config.shell_tasks_enabled or sandbox_of(config) is None:
        return None
    if missing := [path for path in config.shell_writable_paths if not Path(path).is_dir()]:
        return f"SHELL_WRITABLE_PATHS: {missing[0]!r} is no directory on this host"
    return _known_problem(config.shell_sandbox) or _tried(executor)


def _known_problem(level: Sandbox) -> str | None:
    if level is Sandbox.LANDLOCK and (version := landlock.abi()) < landlock.OLDEST_ABI:
        return f"the kernel offers landlock version {version}, {landlock.OLDEST_ABI} (Linux 6.2) is needed"
    if level is Sandbox.BWRAP and not shutil.which("bwrap"):
        return "bwrap is not in PATH: install bubblewrap"
    return None


def _tried(executor: Executor) -> str | None:
    deadline = time.monotonic() + _PROBE_TAKES.total_seconds()
    probe = Execution(uuid4(), 1, "SHELL", {"argv": ["/bin/sh", "-c", ":"]}, _PROBE_TAKES, "probe", deadline=deadline)
    outcome = executor.execute(probe)
    if outcome.error_code is None:
        return None
    said = (outcome.result or {}).get("stderr", "").strip()
    return outcome.error_message if said in str(outcome.error_message) else f"{outcome.error_message}: {said}"


def _readable() -> list[str]:
    path = os.environ.get("PATH", os.defpath).split(":")
    own = [folder for folder in path if folder.startswith("/") and not _is_below(Path(folder), _SYSTEM)]
    return [*_SYSTEM, *_RESOLVERS, *own]


def _is_below(folder: Path, others: Iterable[str]) -> bool:
    return any(folder.is_relative_to(other) for other in others)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
