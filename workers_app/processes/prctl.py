"""What only the kernel can promise about processes (Linux; elsewhere these do nothing, and callers do without)."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_CHILD_SUBREAPER: Final = 36


def adopt_orphans(*, adopt: bool) -> None:
    """Become (or cease to be) the parent of every orphan among this process's descendants."""
    _prctl(_PR_SET_CHILD_SUBREAPER, int(adopt))


def die_with_parent(signal_number: int) -> None:
    """Have a signal sent to this process when the thread that forked it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def hide_environment() -> None:
    """Take this process's secrets out of the reach of tasks: they run as the same user, and can read ``/proc``.

    The initial environment block (what ``/proc/PID/environ`` shows, to root too) is overwritten with zeros after every
    variable was copied to the heap; and the process is made undumpable, which closes its memory to other processes.
    Call it early, before threads, and behind ``setproctitle``, which looks for its room beside the environment.
    """
    if sys.platform != "linux":
        return
    for name, value in os.environ.items():
        os.putenv(name, value)
    with open("/proc/self/stat", encoding="ascii", errors="replace") as stat:  # noqa: PTH123 - /proc
        numbers = stat.read().rpartition(")")[2].split()
    start, end = int(numbers[47]), int(numbers[48])  # env_start, env_end: fields 50 and 51 of proc(5)
    if 0 < start < end:
        ctypes.memset(start, 0, end - start)
    _prctl(_PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
