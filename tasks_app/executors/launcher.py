"""The launcher and its shepherds: the small processes between a worker and the programs of its SHELL tasks.

A program of its own, run as ``python -I -S launcher.py`` with the worker's socket as standard input; it and what it
imports use the standard library only. Nothing here knows tasks, payloads or settings: the worker's side is in
`shell_process`. Here is the launcher; `shepherd` has the other.

    worker ── launcher ─┬─ shepherd ── leader (the task's process) ── its descendants
                        └─ shepherd ── leader ── …

Why so: a worker full of threads, connections and secrets must not fork, and its death, even by SIGKILL, must end the
work. The *launcher* was exec'd with a clean environment and forks one *shepherd* per task. The shepherd is a child
subreaper: whatever the task starts, `setsid` or not, stays below it and can be found. When the leader ends, or the
worker asks, falls silent or dies, it kills all of them. If a task kills its shepherd, the launcher inherits the rest;
if it kills the launcher too, the worker's guardian does. Launcher and shepherds stay in the worker's session, by which
the guardian knows them; every task leads one of its own.

Protocol. Worker to launcher: ``F`` with three descriptors (control socket, stdout, stderr), or ``S`` without. Worker
to shepherd on the control socket: a length and a JSON request, then single bytes: ``T`` stop (TERM, after the grace
KILL), ``K`` kill now, anything else is a sign of life; EOF kills. Shepherd to worker: JSON lines: ``shepherd`` (its
process id, sent before anything is started), then ``failure`` (step, errno) or the ending of the leader.

Linux gives all of this. Elsewhere (macOS) there is no subreaper and no /proc: only the process group is killed.
"""

# pathlib would cost start-up time, and memory that every fork copies.
# ruff: noqa: PTH100, PTH120
from __future__ import annotations

import contextlib
import gc
import math
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import NoReturn

if __name__ == "__main__":  # run by its path, isolated: last, so that no module of ours is taken for one of Python's
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tasks_app.executors.kernel import PR_SET_CHILD_SUBREAPER, PR_SET_DUMPABLE, forbid_prying, prctl
from tasks_app.executors.process_tree import children, kill_pass
from tasks_app.executors.scratch import sweep
from tasks_app.executors.shepherd import PASS_MS, ChildAlarm, Shepherd, say
from tasks_app.executors.task_process import IGNORED

LINGER_SECONDS = 10.0
#: Asks for a look at what the dead have left, of whom this launcher need not be the parent.
SWEEP = b"S"


def main() -> None:
    devnull = prepare()
    Launcher(socket.socket(fileno=0), devnull, base=sys.argv[1]).run()


def prepare() -> int:
    """Make this process a safe parent: known signals, nothing readable, no prying; return a /dev/null."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN if number in IGNORED else signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # a handler, or the wake-up descriptor stays silent
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    forbid_prying()
    gc.freeze()  # forked children share these pages instead of copying them
    devnull = os.open(os.devnull, os.O_RDWR)
    while devnull <= 2:  # the worker ran with a standard stream closed: no pipe may take its number
        devnull = os.open(os.devnull, os.O_RDWR)
    return devnull


class Launcher:
    """Forks a shepherd per request, buries them, and kills what a dead shepherd left behind."""

    def __init__(self, requests: socket.socket, devnull: int, *, base: str) -> None:
        """``base``: the folder in which tasks get folders of their own."""
        self.requests = requests
        self.devnull = devnull
        self.base = base
        self.shepherds: set[int] = set()
        self.strays = False
        self.alarm = ChildAlarm()
        self.until = math.inf

    def run(self) -> None:
        """Serve until the worker is gone, then stay for the last shepherds, so that their strays have a parent."""
        poller = select.poll()
        poller.register(self.requests, select.POLLIN)
        poller.register(self.alarm, select.POLLIN)
        self.fork_sweeper()
        while self.until == math.inf or ((self.shepherds or self.strays) and time.monotonic() < self.until):
            ready = dict(poller.poll(PASS_MS if self.strays or self.until < math.inf else None))
            if self.requests.fileno() in ready and not self.serve():
                poller.unregister(self.requests)
                self.until = time.monotonic() + LINGER_SECONDS
            self.alarm.clear()
            self.bury()
            self.kill_strays()

    def serve(self) -> bool:
        """Take one request; False when there will be no more."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.requests, 1, 3)
        except ConnectionError:
            return False
        try:
            if data == SWEEP:
                self.fork_sweeper()
            elif len(descriptors) == 3:  # fewer when our own limit was hit; the worker sees its socket close
                self.fork(*descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return bool(data)

    def fork(self, control: int, stdout: int, stderr: int) -> None:
        for descriptor in (control, stdout, stderr):
            os.set_inheritable(descriptor, False)  # received ones are inheritable
        try:
            self.fork_child(lambda: Shepherd(socket.socket(fileno=control), self.base).run(stdout, stderr))
        except OSError as error:
            with socket.socket(fileno=os.dup(control)) as worker:
                say(worker, failure=["fork", error.errno])

    def fork_sweeper(self) -> None:
        """Have removed what the dead have left of their tasks' files: nobody shall wait for that, it may be much."""
        with contextlib.suppress(OSError):
            self.fork_child(lambda: sweep(self.base))

    def fork_child(self, work: Callable[[], None]) -> None:
        if (pid := os.fork()) == 0:
            self.become_child(work)
        self.shepherds.add(pid)

    def become_child(self, work: Callable[[], None]) -> NoReturn:
        status = 1
        try:
            # Drops the launcher's socket, whose closing shows the worker that the launcher died.
            os.dup2(self.devnull, 0)
            self.alarm.close()
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - this is a process of its own: it must not return into the launcher's loop
            traceback.print_exc()
        finally:
            os._exit(status)

    def bury(self) -> None:
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self.shepherds.discard(pid)
                if status != 0:  # a shepherd that exits 0 has seen its last descendant die, and its folder go
                    self.strays = True
                    self.fork_sweeper()
        except ChildProcessError:
            self.shepherds.clear()

    def kill_strays(self) -> None:
        """Children that are no shepherds were adopted when theirs was killed; a look at all of them only then."""
        if self.strays:
            orphans = [pid for pid in children(os.getpid()) if pid not in self.shepherds]
            self.strays = kill_pass(orphans)


if __name__ == "__main__":
    main()
