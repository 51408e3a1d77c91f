"""A shepherd: starts the process of one SHELL task, watches it, and leaves nothing of it alive.

Standard library only, for `launcher`, which forks it and says why it is there.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import socket
import struct
import time
from typing import Any

from tasks_app.executors import bwrap, task_process
from tasks_app.executors.kernel import LINUX, PR_SET_CHILD_SUBREAPER, prctl
from tasks_app.executors.process_tree import children, descendants, kill_pass
from tasks_app.executors.scratch import Scratch

PASS_MS = 10
#: Longest the worker's report waits for descendants that do not die (uninterruptible, or not ours to kill).
SWEEP_SECONDS = 0.5
SLOW_PASS_MS = 200
#: Bytes of one ru_maxrss, getrusage(2).
RSS_UNIT = 1024 if LINUX else 1


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


class Shepherd:
    """Starts one task's process, watches it, and leaves nothing of it alive."""

    def __init__(self, control: socket.socket, base: str) -> None:
        self.control = control
        self.base = base
        self.alarm = ChildAlarm()
        self.leader = 0
        self.verdict = -1
        self.scratch: Scratch | None = None
        self.status: int | None = None
        #: Of all processes that were buried until the report.
        self.cpu_seconds = 0.0
        self.peak_rss = 0
        self.stopped = False
        self.in_namespaces = False
        self.kill_at = math.inf
        self.heard_at = time.monotonic()

    def run(self, stdout: int, stderr: int) -> None:
        request = self.read_request()
        if request is None:
            return
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        say(self.control, shepherd=os.getpid())
        try:
            self.serve(request, stdout, stderr)
        finally:
            if self.scratch:
                self.scratch.remove()

    def serve(self, request: dict[str, Any], stdout: int, stderr: int) -> None:
        step = "scratch"
        try:
            self.furnish(request)
            step = "fork"
            self.start(request, stdout, stderr)
        except OSError as error:
            say(self.control, failure=[step, error.errno])
            return
        self.watch(grace=request["grace"], silence=request["silence"])
        self.report(clean=self.sweep(until=time.monotonic() + SWEEP_SECONDS, pass_ms=PASS_MS))
        self.control.close()
        self.sweep(until=math.inf, pass_ms=SLOW_PASS_MS)

    def furnish(self, request: dict[str, Any]) -> None:
        """Make the task a folder for its temporary files, in which it also starts unless it says where."""
        if request["limits"]:
            self.scratch = Scratch(self.base)
            request["scratch"] = self.scratch.path
            self.in_namespaces = (request["sandbox"] or {}).get("level") == "bwrap"
            seen = bwrap.SCRATCH if self.in_namespaces else self.scratch.path
            request["inside"] = request["cwd"] or seen
            request["cwd"] = request["cwd"] or self.scratch.path
            request["env"].setdefault("TMPDIR", seen)

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
            control = self.control.fileno()
            task_process.become(
                request, shepherd=shepherd, control=control, stdout=stdout, stderr=stderr, verdict=writer
            )
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
        # Asked to stop, a shell dies at once: the program it ran has the rest of the grace for its own clean end.
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
            self.ask_to_stop()
            self.stop(now + grace)

    def ask_to_stop(self) -> None:
        """TERM to the task's process group; where its leader is bwrap, which would kill the rest, to all below it."""
        if not self.in_namespaces:
            signal_group(self.leader, signal.SIGTERM)
            return
        for pid in descendants(children(self.leader)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGTERM)

    def stop(self, kill_at: float) -> None:
        self.stopped |= self.status is None
        self.kill_at = min(self.kill_at, kill_at)

    def reap(self) -> bool:
        """Bury every dead child, the leader and adopted ones; return whether any is left."""
        try:
            while True:
                pid, status, used = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    return True
                self.cpu_seconds += used.ru_utime + used.ru_stime
                self.peak_rss = max(self.peak_rss, used.ru_maxrss * RSS_UNIT)
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
            cpu_ms = round(self.cpu_seconds * 1000)
            say(self.control, code=code, stopped=self.stopped, clean=clean, cpu_ms=cpu_ms, peak_rss=self.peak_rss)


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
