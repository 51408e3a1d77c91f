"""What becomes of the children of a supervisor that is killed: they get SIGTERM, and so leave in good order.

On Linux the kernel sends it (PR_SET_PDEATHSIG, prctl(2)). Elsewhere a process of its own does, which waits at the other
end of a pipe: this file, run as a program. It reads ``+PID`` and ``-PID``, a line each, and when the pipe ends it
signals the processes that were added and not removed. As a program it may import the standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Final

KERNEL_WATCHES: Final = sys.platform == "linux"


def die_with_supervisor(supervisor: int) -> Callable[[], None]:
    """What a child runs between fork and exec. The supervisor may have died before: then the child ends here."""
    from workers_app.processes.prctl import die_with_parent

    def run() -> None:
        die_with_parent(signal.SIGTERM)
        if os.getppid() != supervisor:
            os._exit(1)

    return run


class Watch:
    """The supervisor's end of the pipe. ``needed``: whether a process has to watch at all."""

    def __init__(self, *, needed: bool = not KERNEL_WATCHES) -> None:
        self._needed = needed
        self._watcher: subprocess.Popen[str] | None = None

    def add(self, pid: int) -> None:
        if self._needed:
            self._watcher = self._watcher or subprocess.Popen(
                [sys.executable, "-I", __file__], stdin=subprocess.PIPE, text=True, start_new_session=True
            )
            self._say(f"+{pid}\n")

    def remove(self, pid: int) -> None:
        self._say(f"-{pid}\n")

    def close(self) -> None:
        """Let the watcher go, after the children have ended."""
        self._say("end\n")
        if self._watcher is not None and self._watcher.stdin is not None:
            with contextlib.suppress(OSError):
                self._watcher.stdin.close()
            self._watcher.wait()

    def _say(self, line: str) -> None:
        if self._watcher is not None and self._watcher.stdin is not None:
            with contextlib.suppress(OSError):
                self._watcher.stdin.write(line)
                self._watcher.stdin.flush()


def left_over(lines: Iterable[str]) -> set[int]:
    """The processes to signal after these lines, which end when the supervisor does."""
    pids: set[int] = set()
    for line in lines:
        if line == "end\n":
            return set()
        (pids.add if line.startswith("+") else pids.discard)(int(line[1:]))
    return pids


if __name__ == "__main__":
    for pid in left_over(sys.stdin):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
