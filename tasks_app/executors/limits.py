"""What every SHELL task is held to at all levels but ``none``. Standard library only, for `launcher`.

Limits of the process, set between fork and exec; all that it starts has them too. Each is there for what it prevents:
more privileges than the worker's (a setuid program), core files with secrets, a disk or a table of open files that one
task fills, a program that computes on after it has escaped everything else, and the kernel's choice of the worker when
memory runs out. The number of processes is not among them: RLIMIT_NPROC counts all that the account runs.
"""

# pathlib would cost start-up time, and memory that every fork copies.
# ruff: noqa: PTH123
from __future__ import annotations

import contextlib
import os
import resource
from typing import Any

from tasks_app.executors.kernel import LINUX, PR_CAPBSET_DROP, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, prctl

#: Open files: what programs expect, and how far they may raise it themselves.
_FILES, _MOST_FILES = 1024, 16_384
_CAP_SYS_RESOURCE = 24
#: From SIGXCPU, which a program may use for a clean end, to SIGKILL.
_CPU_GRACE = 5
#: Of -1000 to 1000, proc(5): far above the worker's, so that a task is ended for its memory and not its worker.
_OOM_SCORE = 500


def apply(limits: dict[str, Any]) -> None:
    """Hold this process to ``cpu`` seconds, bytes of ``memory`` and of a ``file`` (None: any). May raise OSError."""
    os.umask(0o077)
    # Not 0: to a core_pattern that names a program only 1 means none, core(5) and fs/coredump.c. It holds no core file.
    _limit(resource.RLIMIT_CORE, 1, 1)
    _limit(resource.RLIMIT_NOFILE, _FILES, _MOST_FILES)
    _limit(resource.RLIMIT_CPU, limits["cpu"], limits["cpu"] + _CPU_GRACE)
    if limits["file"] is not None:
        _limit(resource.RLIMIT_FSIZE, limits["file"], limits["file"])
    if limits["memory"] is not None:
        _limit(resource.RLIMIT_AS, limits["memory"], limits["memory"])
    prctl(PR_CAPBSET_DROP, _CAP_SYS_RESOURCE)  # with which root's commands could raise their limits again
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    if LINUX:
        _raise_oom_score()


def _limit(what: int, soft: int, hard: int) -> None:
    """Lower a limit; one that is lower already stays, for only root may raise it."""
    now_soft, now_hard = resource.getrlimit(what)
    hard = hard if now_hard == resource.RLIM_INFINITY else min(hard, now_hard)
    soft = min(soft, hard) if now_soft == resource.RLIM_INFINITY else min(soft, hard, now_soft)
    resource.setrlimit(what, (soft, hard))


def _raise_oom_score() -> None:
    """Needs a /proc/self of our own: an undumpable process's is root's. What this one knows is all its task's."""
    prctl(PR_SET_DUMPABLE, 1)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "r+b", buffering=0) as file:
        if int(file.read()) < _OOM_SCORE:
            file.write(b"%d" % _OOM_SCORE)
