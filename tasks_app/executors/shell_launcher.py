"""The worker's handle on its launcher, the one small process (`launcher.py`) that forks for all its SHELL tasks.

The worker itself forks nothing. Here the launcher is started, asked, replaced and ended; what happens to one attempt is
in `shell_process`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

_PROGRAM = Path(__file__).with_name("launcher.py")
#: A launcher takes a request, and ends, within milliseconds; after this long it hangs.
_HANG_SECONDS = 2.0


class LauncherProcess:
    """The launcher of this worker: started on first use, replaced when it has died. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._end: Callable[[], object] = lambda: None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def send(self, descriptors: list[int]) -> subprocess.Popen[bytes]:
        """Have a shepherd forked that owns ``descriptors`` (control, stdout, stderr); return who was asked.

        Raises OSError when no launcher can be started.
        """
        with self._lock:
            for last in (False, True):
                process, to_launcher = self._running()
                try:
                    socket.send_fds(to_launcher, [b"F"], descriptors)
                except OSError as error:
                    self._replace(error)
                    if last:
                        raise
                else:
                    return process
        raise AssertionError("unreachable")

    def sweep(self) -> None:
        """Have removed what a task has left whose shepherd was killed: it may have been another launcher's."""
        with self._lock, suppress(OSError):  # the next launcher looks when it starts
            if self._socket is not None:
                self._socket.send(b"S")

    def abandon(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a launcher that does not respond, unless it was replaced meanwhile."""
        with self._lock:
            if process is self._process:
                self._replace("it does not answer")

    def close(self) -> None:
        """End the launcher; it is started again when needed."""
        with self._lock:
            self._end()
            self._process = self._socket = None

    def _running(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        if self._process is None or self._socket is None:
            self._process, self._socket = _start_launcher()
            self._socket.settimeout(_HANG_SECONDS)
            self._end = weakref.finalize(self, _end_launcher, self._process, self._socket)
        return self._process, self._socket

    def _replace(self, why: object) -> None:
        assert self._process is not None
        log.warning("shell_launcher_replaced", launcher_pid=self._process.pid, why=str(why))
        self._process.kill()
        self._end()
        self._process = self._socket = None


def _start_launcher() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Exec it with nothing of ours: it is the parent that tasks can look at. Some Pythons need the library path."""
    environment = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    ours, theirs = socket.socketpair()
    with ExitStack() as stack, theirs:
        stack.enter_context(ours)
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_PROGRAM), tempfile.gettempdir()],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            env=environment,
            cwd="/",
            process_group=0,  # out of a terminal's reach, but in the worker's session: see `launcher`
        )
        stack.pop_all()
    return process, ours


def _end_launcher(process: subprocess.Popen[bytes], to_launcher: socket.socket) -> None:
    to_launcher.close()
    try:
        process.wait(_HANG_SECONDS)  # it stays for its last shepherds
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
