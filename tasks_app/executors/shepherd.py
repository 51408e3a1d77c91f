"""The launcher and its shepherds: the small processes between a worker and the programs of its SHELL tasks.

A program of its own, run as ``python -I -S shepherd.py`` with the worker's socket as standard input; it and what it
imports use the standard library only. Nothing here knows tasks, payloads or settings: the worker's side is in
`shell_process`.

    worker ── launcher ─┬─ shepherd ── leader (the task's process) ── its descendants
                        └─ shepherd ── leader ── …

Why so: a worker full of threads, connections and secrets must not fork, and its death, even by SIGKILL, must end the
work. The *launcher* was exec'd with a clean environment and forks one *shepherd* per task. The shepherd is a child
subreaper: whatever the task starts, `setsid` or not, stays below it and can be found. When the leader ends, or the
worker asks, falls silent or dies, it kills all of them. If a task kills its shepherd, the launcher inherits the rest;
if it kills the launcher too, the worker's guardian does. Launcher and shepherds stay in the worker's session, by which
the guardian knows them; every task leads one of its own.

Protocol. Worker to launcher: one byte with three descriptors (control socket, stdout, stderr). Worker to shepherd on
the control socket: a length and a JSON request, then single bytes: ``T`` stop (TERM, after the grace KILL), ``K`` kill
now, anything else is a sign of life; EOF kills. Shepherd to worker: JSON lines: ``shepherd`` (its process id, sent
before anything is started), then ``failure`` (step, errno) or the ending of the leader.

Linux gives all of this. Elsewhere (macOS) there is no subreaper and no /proc: only the process group is killed.
"""

# pathlib would cost start-up time, and memory that every fork copies.
# ruff: noqa: PTH100, PTH120
from __future__ import annotations

import contextlib
import gc
import json
import math
import os
import select
import signal
import socket
import struct
import sys
import time
import traceback
from typing import Any, NoReturn

if __name__ == "__main__":  # run by its path, isolated: last, so that no module of ours is taken for one of Python's
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tasks_app.executors.kernel import (
    LINUX,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_PDEATHSIG,
    forbid_prying,
    prctl,
)
from tasks_app.executors.process_tree import children, kill_pass

#: Ignored by launcher and shepherds: a Ctrl-C, or a service manager's TERM, is for the worker; they follow its EOF.
IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE)
PASS_MS = 10
#: Longest the worker's answer waits for descendants that do not die (uninterruptible, or not ours to kill).
SWEEP_SECONDS = 0.5
SLOW_PASS_MS = 200
LINGER_SECONDS = 10.0


def main() -> None:
    devnull = prepare()
    Launcher(socket.socket(fileno=0), devnull).run()


def prepare() -> int:
    """Make this process a safe parent: known signals, nothing readable, no prying; answer a /dev/null."""
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


class ChildAlarm:
    """A descriptor that turns readable when a child of this process has died (self-pipe)."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def fileno(self) -> int:
        return self.reader

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.reader, 4096)

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self.reader)
        os.close(self._writer)


class Launcher:
    """Forks a shepherd per request, buries them, and kills what a dead shepherd left behind."""

    def __init__(self, requests: socket.socket, devnull: int) -> None:
        self.requests = requests
        self.devnull = devnull
        self.shepherds: set[int] = set()
        self.strays = False
        self.alarm = ChildAlarm()
        self.until = math.inf

    def run(self) -> None:
        """Serve until the worker is gone, then stay for the last shepherds, so that their strays have a parent."""
        poller = select.poll()
        poller.register(self.requests, select.POLLIN)
        poller.register(self.alarm, select.POLLIN)
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
            if len(descriptors) == 3:  # fewer when our own limit was hit; the worker sees its socket close
                self.fork(*descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return bool(data)

    def fork(self, control: int, stdout: int, stderr: int) -> None:
        for descriptor in (control, stdout, stderr):
            os.set_inheritable(descriptor, False)  # received ones are inheritable
        try:
            pid = os.fork()
        except OSError as error:
            with socket.socket(fileno=os.dup(control)) as worker:
                say(worker, failure=["fork", error.errno])
            return
        if pid == 0:
            self.become_shepherd(control, stdout, stderr)
        self.shepherds.add(pid)

    def become_shepherd(self, control: int, stdout: int, stderr: int) -> NoReturn:
        status = 1
        try:
            # Drops the launcher's socket, whose closing tells the worker that the launcher died, and serves the task.
            os.dup2(self.devnull, 0)
            self.alarm.close()
            Shepherd(socket.socket(fileno=control)).run(stdout, stderr)
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
                self.strays |= status != 0  # a shepherd that exits 0 has seen its last descendant die
                self.shepherds.discard(pid)
        except ChildProcessError:
            self.shepherds.clear()

    def kill_strays(self) -> None:
        """Children that are no shepherds were adopted when theirs was killed; a look at all of them only then."""
        if self.strays:
            orphans = [pid for pid in children(os.getpid()) if pid not in self.shepherds]
            self.strays = kill_pass(orphans)


class Shepherd:
    """Starts one task's process, watches it, and leaves nothing of it alive."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.alarm = ChildAlarm()
        self.leader = 0
        self.verdict = -1
        self.status: int | None = None
        self.stopped = False
        self.kill_at = math.inf
        self.heard_at = time.monotonic()

    def run(self, stdout: int, stderr: int) -> None:
        request = self.read_request()
        if request is None:
            return
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        say(self.control, shepherd=os.getpid())
        try:
            self.start(request, stdout, stderr)
        except OSError as error:
            say(self.control, failure=["fork", error.errno])
            return
        self.watch(grace=request["grace"], silence=request["silence"])
        self.report(clean=self.sweep(until=time.monotonic() + SWEEP_SECONDS, pass_ms=PASS_MS))
        self.control.close()
        self.sweep(until=math.inf, pass_ms=SLOW_PASS_MS)

    def read_request(self) -> Any:
        """The request, or None when the worker has gone: then nothing may start."""
        header = self.read(4)
        body = self.read(struct.unpack("!I", header)[0]) if header else None
        return json.loads(body) if body else None

    def read(self, size: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < size:
            part = self.control.recv(min(size - len(parts), 65536))
            if not part:
                return None
            parts += part
        return bytes(parts)

    def start(self, request: dict[str, Any], stdout: int, stderr: int) -> None:
        """Fork the leader; returns when its process group exists, so that a TERM cannot miss it."""
        shepherd = os.getpid()
        self.verdict, writer = os.pipe()
        self.leader = os.fork()
        if self.leader == 0:
            become_task(request, shepherd, stdout, stderr, writer)
        for descriptor in (writer, stdout, stderr):
            os.close(descriptor)
        os.read(self.verdict, 1)

    def watch(self, *, grace: float, silence: float) -> None:
        """Wait until the leader has ended, or it is time to kill."""
        poller = select.poll()
        poller.register(self.control, select.POLLIN)
        poller.register(self.alarm, select.POLLIN)
        while not self.over():
            rest = min(self.kill_at, self.heard_at + silence) - time.monotonic()
            poller.poll(max(0, math.ceil(rest * 1000)))
            self.alarm.clear()
            self.reap()  # before orders: a leader that has ended was not stopped
            self.obey(grace, silence)

    def over(self) -> bool:
        if time.monotonic() >= self.kill_at:
            return True
        if self.status is None:
            return False
        # Told to stop, a shell dies at once: the program it ran has the rest of the grace for its own clean end.
        return not (self.stopped and LINUX and group_lives(self.leader))

    def obey(self, grace: float, silence: float) -> None:
        now = time.monotonic()
        try:
            orders = self.control.recv(4096, socket.MSG_DONTWAIT)
            self.heard_at = now
        except BlockingIOError:
            # A worker that was paused or starved this long has lost its lease: another may be running the task.
            orders = b"" if now >= self.heard_at + silence else b"."
        except ConnectionError:
            orders = b""
        if not orders or b"K" in orders:
            self.stop(now)
        elif b"T" in orders:
            signal_group(self.leader, signal.SIGTERM)
            self.stop(now + grace)

    def stop(self, kill_at: float) -> None:
        self.stopped |= self.status is None
        self.kill_at = min(self.kill_at, kill_at)

    def reap(self) -> bool:
        """Bury every dead child, the leader and adopted ones; tell whether any is left."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
                if pid == self.leader and self.status is None:
                    self.status = status
        except ChildProcessError:
            return False

    def sweep(self, *, until: float, pass_ms: int) -> bool:
        """Kill everything below in passes, until nothing is left (True) or the time is up.

        A killed parent hands its children to us, so each pass sees what the last one missed. The group comes first
        because the kernel signals a whole group atomically: no member can fork its way out.
        """
        if self.reap() or not LINUX:
            signal_group(self.leader, signal.SIGKILL)
        while self.reap():
            kill_pass(children(os.getpid()))
            if time.monotonic() >= until:
                return False
            select.select([self.alarm], [], [], pass_ms / 1000)
            self.alarm.clear()
        return True

    def report(self, *, clean: bool) -> None:
        verdict = b"" if self.status is None else os.read(self.verdict, 64)  # EOF when exec succeeded
        if verdict:
            step, number = verdict.decode().split()
            say(self.control, failure=[step, int(number)])
        else:
            code = None if self.status is None else os.waitstatus_to_exitcode(self.status)
            say(self.control, code=code, stopped=self.stopped, clean=clean)


def become_task(request: dict[str, Any], shepherd: int, stdout: int, stderr: int, verdict: int) -> NoReturn:
    """Turn this fresh child into the task's program; a failed step is written as ``step errno`` to ``verdict``."""
    step = "chdir"
    try:
        os.setsid()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != shepherd:  # it died before the line above
            os._exit(127)
        for number in IGNORED:
            signal.signal(number, signal.SIG_DFL)
        os.write(verdict, b"R")
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.chdir(encode(request["cwd"]))
        step = "exec"
        argv = [encode(word) for word in request["argv"]]
        env = {encode(name): encode(value) for name, value in request["env"].items()}
        os.execvpe(argv[0], argv, env)  # noqa: S606 - no shell is the point
    except OSError as error:
        os.write(verdict, f"{step} {error.errno}".encode())
    finally:
        os._exit(127)


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def say(worker: socket.socket, **message: object) -> None:
    with contextlib.suppress(OSError):  # the worker is gone; what must be killed is killed all the same
        worker.sendall(json.dumps(message).encode() + b"\n")


def signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    main()
