"""Finding and killing everything below a process. Standard library only: `launcher` runs with no other.

Whoever sweeps must be a child subreaper: what loses its parent then comes to it, and the next pass finds it.
"""

# pathlib would cost start-up time, and memory that every fork copies.
# ruff: noqa: PTH110, PTH123, PTH208
from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator

from tasks_app.executors.kernel import LINUX


def kill_pass(roots: Iterable[int]) -> bool:
    """SIGKILL these processes and all their descendants, parents first, so that none can start another.

    Returns whether there were any: then another pass is due, for those that the last one missed. A thousand processes
    that fork without end would leave a sweeper a thousandth of the machine, so it runs before them while it has to.
    """
    roots = list(roots)
    _run_first(first=bool(roots))
    for pid in descendants(roots):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return bool(roots)


def descendants(roots: Iterable[int]) -> Iterator[int]:
    """These processes and all below them, each looked up when those before it have been dealt with."""
    found = list(roots)
    for pid in found:
        found += children(pid)
        yield pid


def _run_first(*, first: bool) -> None:
    """Be scheduled before everything else, or like everybody again, sched(7). Root may; others stay as they are."""
    if LINUX:
        policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK if first else os.SCHED_OTHER
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, policy, os.sched_param(int(first)))


def children(pid: int) -> list[int]:
    """The direct children of a process, proc(5); may miss some while they come and go."""
    if not KERNEL_LISTS_CHILDREN:
        return [child for child in _processes() if _parent(child) == pid] if LINUX else []
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as listed:
                found += map(int, listed.read().split())
    except OSError:
        pass  # it has just died: its children are, or soon will be, the sweeper's
    return found


def strays(*, trusted_session: int) -> list[int]:
    """Children of this process that came to it as orphans, and are not of that session.

    A process leaves its session for good with setsid(2), and cannot enter another: what runs below a task, which is
    started in a session of its own, can change its name, its group and its variables, but never be in this one.
    """
    return [pid for pid in children(os.getpid()) if pid != trusted_session and _session(pid) != trusted_session]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


#: False on kernels built without CONFIG_PROC_CHILDREN and on gVisor: every process is asked for its parent instead.
KERNEL_LISTS_CHILDREN = os.path.exists(f"/proc/self/task/{os.getpid()}/children")
