"""Killing and reaping everything below this process, a child subreaper: the guardian's, which must have no other."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Final

from tasks_app.executors import process_tree

#: Seconds between two passes that kill; a pass costs some 20 microseconds.
PASS: Final = 0.01

_statuses: dict[int, int] = {}


def kill_descendants() -> None:
    """Kill every descendant of this process and reap it, until none is left. Orphans come to it as the subreaper.

    Passes follow each other closely: what forks without end must not gain on them.
    """
    while process_tree.kill_pass(process_tree.children(os.getpid())):
        time.sleep(PASS)
        _reap_all()


def reaped(pid: int) -> int | None:
    """The exit status of the worker once it has ended; reaps orphans that came to us on the way."""
    _reap_all()
    status = _statuses.pop(pid, None)
    _statuses.clear()
    return status


def _reap_all() -> None:
    """Reap whoever has ended, and keep how: the worker may be among them, whoever killed it."""
    with contextlib.suppress(ChildProcessError):
        while (reaped := os.waitpid(-1, os.WNOHANG))[0]:
            _statuses[reaped[0]] = os.waitstatus_to_exitcode(reaped[1])
