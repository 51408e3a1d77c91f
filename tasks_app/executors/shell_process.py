"""One process tree of a SHELL attempt, seen from the worker: started, read, stopped, its ending reported.

`Watch` is one attempt in its pool thread, and the only thing that thread waits in. How processes come to be is in
`shell_launcher`, `launcher` and `shepherd`; what an ending means for the task is decided in `shell`.
"""

from __future__ import annotations

import json
import math
import os
import selectors
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from tasks_app.executors.base import Execution, StopReason
from tasks_app.executors.capture import Capture
from tasks_app.executors.shell_launcher import LauncherProcess

log = structlog.get_logger(__name__)

#: A launcher that has not responded for so long is stopped or broken: it is replaced.
_LAUNCHER_SECONDS = 5.0
_SEND_SECONDS = 2.0
_START_TRIES = 3
#: How long after the kill a shepherd may take to report; TERM, 5 s, kill and this stay within time-out + 6 s.
_REPORT_SECONDS = 0.8
_DRAIN_SECONDS = 1.0
_CHUNK = 65536
#: macOS may drop a socket in flight once its sender has closed it; Linux needs it closed, to see the launcher die.
_KEEP_SENT = sys.platform == "darwin"


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, and for how long its shepherd waits after TERM, and for a sign of life from this worker."""

    argv: list[str]
    #: None: its own folder for temporary files.
    cwd: str | None
    env: dict[str, str]
    grace: float
    silence: float
    #: See `shell_sandbox`.
    limits: dict[str, Any] | None = None
    sandbox: dict[str, Any] | None = None

    def encode(self) -> bytes:
        body = json.dumps({name: getattr(self, name) for name in self.__slots__}).encode()
        return struct.pack("!I", len(body)) + body


@dataclass(slots=True)
class Ending:
    """What is known of a process tree after its end."""

    stdout: Capture = field(default_factory=Capture)
    stderr: Capture = field(default_factory=Capture)
    #: A shepherd existed. When none did, nothing was started for sure.
    shepherd: int | None = None
    exit_code: int | None = None
    signal: str | None = None
    #: The leader was still running when the order to stop it was carried out.
    stopped: bool = False
    #: The step before the program ran that failed (fork, chdir, exec), and its errno.
    failure: tuple[str, int] | None = None
    reported: bool = False
    #: Of all its processes that had ended by then; None when the program never ran, or nobody could know.
    cpu_ms: int | None = None
    peak_rss: int | None = None


def run(launcher: LauncherProcess, execution: Execution, command: Command) -> Ending:
    """Run a command to its end in this thread. Starts again, with a new launcher, when nothing was started."""
    for _ in range(_START_TRIES):
        with Watch(launcher, execution, command) as watch:
            ending = watch.run()
        if ending.shepherd and not ending.reported:
            _kill_marked(execution)
            launcher.sweep()
        if ending.reported or ending.shepherd or execution.stop_reason:
            break
    return ending


def _kill_marked(execution: Execution) -> None:
    """Kill what has this attempt's mark in its environment: a task that killed its shepherd may have killed the
    launcher too, which would have seen to the rest."""
    marks = {f"TASK_ID={execution.task_id}".encode(), f"TASK_ATTEMPT={execution.attempt}".encode()}
    until = time.monotonic() + _REPORT_SECONDS
    while (found := list(_processes_with(marks))) and time.monotonic() < until:
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def _processes_with(marks: set[bytes]) -> Iterator[int]:
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has ended, or is not ours
            if marks <= set(environ.read_bytes().split(b"\0")):
                yield int(environ.parent.name)


class _Bell:
    """Wakes the pool thread; may be rung from any thread, also long after the end (self-pipe)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)

    def ring(self) -> None:
        with self._lock:
            if self._writer >= 0:
                with suppress(BlockingIOError):  # full: the thread is going to wake up anyway
                    os.write(self._writer, b"!")

    def close(self) -> None:
        with self._lock:
            os.close(self.reader)
            os.close(self._writer)
            self._writer = -1


class Watch:
    """One try to run a command: owns its pipes and its control socket, closes them all on exit."""

    def __init__(self, launcher: LauncherProcess, execution: Execution, command: Command) -> None:
        self._launcher = launcher
        self._execution = execution
        self._command = command
        self._ending = Ending()
        self._heard = b""
        self._over = False
        self._give_up_at = self._beat_at = math.inf
        self._stack = ExitStack()

    def __enter__(self) -> Watch:
        with ExitStack() as stack:
            self._sent = stack.enter_context(ExitStack())
            self._selector = stack.enter_context(selectors.PollSelector())
            self._bell = _Bell()
            stack.callback(self._bell.close)
            self._control, theirs = socket.socketpair()
            stack.enter_context(self._control)
            self._sent.enter_context(theirs)
            self._selector.register(self._bell.reader, selectors.EVENT_READ, self._obey)
            self._selector.register(self._control, selectors.EVENT_READ, self._listen)
            outputs = [self._pipe(stack, name) for name in ("stdout", "stderr")]
            self._descriptors = [theirs.fileno(), *outputs]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _pipe(self, stack: ExitStack, stream: str) -> int:
        capture: Capture = getattr(self._ending, stream)
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        self._sent.callback(os.close, writer)
        os.set_blocking(reader, False)
        self._selector.register(reader, selectors.EVENT_READ, lambda: self._read(reader, stream, capture))
        return writer

    def run(self) -> Ending:
        self._asked = self._launcher.send(self._descriptors)
        if not _KEEP_SENT:
            self._sent.close()
        self._give_up_at = time.monotonic() + _LAUNCHER_SECONDS
        self._send_request()
        self._execution.on_stop(self._bell.ring)
        while not self._over:
            limit = min(self._execution.deadline if not self._execution.stop_reason else math.inf, self._give_up_at)
            self._step(min(limit, self._beat_at) - time.monotonic())
        self._drain()
        return self._ending

    def _send_request(self) -> None:
        self._control.settimeout(_SEND_SECONDS)
        try:
            self._control.sendall(self._command.encode())
        except TimeoutError:
            self._give_up()
        except OSError:
            pass  # nobody took it: `_listen` will see why
        self._control.setblocking(False)
        self._beat_at = time.monotonic() + self._command.silence / 4

    def _step(self, seconds: float) -> None:
        for key, _ in self._selector.select(max(0.0, seconds)):
            key.data()
        now = time.monotonic()
        if now >= self._execution.deadline and not (self._over or self._execution.stop_reason):
            self._execution.stop(StopReason.DEADLINE)
        if now >= self._beat_at:
            self._order(b".")
            self._beat_at = now + self._command.silence / 4
        if now >= self._give_up_at and not self._over:
            self._give_up()

    def _obey(self) -> None:
        """Pass an order to stop on to the shepherd; it must report soon after it has been carried out."""
        os.read(self._bell.reader, 64)
        immediate = self._execution.immediate
        self._order(b"K" if immediate else b"T")
        self._give_up_at = time.monotonic() + _REPORT_SECONDS + (0.0 if immediate else self._command.grace)

    def _order(self, order: bytes) -> None:
        with suppress(OSError):  # the shepherd has ended, or hangs with a full socket: `_listen` or `_give_up` will see
            self._control.send(order)

    def _listen(self) -> None:
        try:
            data = self._control.recv(4096)
        except ConnectionError:
            data = b""
        self._over |= not data
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, message: dict[str, Any]) -> None:
        if "shepherd" in message:
            self._ending.shepherd = message["shepherd"]
            self._sent.close()
            if not self._execution.stop_reason:
                self._give_up_at = math.inf
            return
        self._over = self._ending.reported = True
        if "failure" in message:
            step, number = message["failure"]
            self._ending.failure = step, number
        else:
            self._take_end(**message)

    def _take_end(self, *, code: int | None, stopped: bool, clean: bool, cpu_ms: int, peak_rss: int) -> None:
        self._ending.stopped, self._ending.cpu_ms, self._ending.peak_rss = stopped, cpu_ms, peak_rss
        if code is not None and code < 0:
            self._ending.signal = _signal_name(-code)
        else:
            self._ending.exit_code = code
        if not clean:
            task_id, attempt = str(self._execution.task_id), self._execution.attempt
            log.warning("shell_descendants_left", task_id=task_id, attempt=attempt, shepherd_pid=self._ending.shepherd)

    def _give_up(self) -> None:
        """Whoever should respond hangs, stopped by the task perhaps. Its death makes the rest die."""
        self._over = True
        if self._ending.shepherd is None:
            self._launcher.abandon(self._asked)
            return
        with suppress(OSError):
            os.kill(self._ending.shepherd, signal.SIGKILL)  # not reaped and reused: it still holds our socket

    def _read(self, reader: int, stream: str, capture: Capture) -> bool:
        """Take one piece of output; False when there is none now, or none any more."""
        try:
            data = os.read(reader, _CHUNK)
        except BlockingIOError:
            return False
        capture.feed(data)
        if data:
            self._execution.write(stream, data)
        else:
            self._selector.unregister(reader)
        return bool(data)

    def _drain(self) -> None:
        """Read what the dead have left in the pipes; somebody who still holds one gets no more than a second."""
        until = time.monotonic() + _DRAIN_SECONDS
        for key in list(self._selector.get_map().values()):
            if key.fileobj not in (self._control, self._bell.reader):
                while key.data() and time.monotonic() < until:
                    pass


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"  # real-time signals have no names of their own
