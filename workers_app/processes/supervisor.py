"""Several processes under one terminal: starts them, starts them again when they crash, stops them together.

For development and small installations. Each child leads a session of its own, so that a Ctrl-C reaches only the
supervisor, which then stops them in order: first those that take new work in, last those that finish it. A supervisor
that is killed takes its children along: they are sent SIGTERM, by the kernel or by ``orphans``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from tasks_app import inherited
from workers_app.processes.orphans import Watch, die_with_supervisor
from workers_app.processes.restarts import HEALTHY_LIFE, restart_delay
from workers_app.stop_signals import SelfPipe, stop_on_signals

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Child:
    """One supervised command."""

    name: str
    command: Sequence[str]
    #: Seconds it may take to stop before it is killed.
    grace: float
    #: Whether an exit with status 0 is its end; otherwise it is started again however it ended.
    may_finish: bool = False
    #: Open files it inherits, besides the standard ones.
    descriptors: Sequence[int] = ()
    finished: bool = False
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failures: int = 0
    start_again_at: float = field(default=0.0)


class Supervisor:
    """Starts children in the order given and stops them in that order too."""

    def __init__(self, children: Sequence[Child]) -> None:
        self.children = list(children)
        self._pipe = SelfPipe()
        self._watch = Watch()

    @property
    def stopping(self) -> bool:
        return self._pipe.stop_requests > 0

    def __enter__(self) -> Supervisor:
        signal.signal(signal.SIGCHLD, lambda _number, _frame: self._pipe.wake())
        self._signals = stop_on_signals(self._pipe)
        self._signals.__enter__()
        for child in self.children:
            self._start(child)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._stop()
        finally:
            self._watch.close()
            self._signals.__exit__(None, None, None)

    @property
    def finished(self) -> bool:
        """Whether no child is left to watch."""
        return all(child.finished for child in self.children)

    @property
    def clean(self) -> bool:
        """Whether all ended with status 0. For use after the block."""
        return all(child.process is None or child.process.returncode == 0 for child in self.children)

    def run(self) -> None:
        """Watch the children until a stop is asked for, or all have finished."""
        while not self.stopping and not self.finished:
            self.step(3600.0)

    def step(self, seconds: float) -> None:
        """Start again what has ended, then rest for ``seconds`` or until something happens."""
        now = time.monotonic()
        for child in self.children:
            if child.process is not None and child.process.poll() is not None:
                self._ended(child)
            if child.process is None and not child.finished and now >= child.start_again_at:
                self._start(child)
        waiting = [child for child in self.children if child.process is None and not child.finished]
        due = min((child.start_again_at for child in waiting), default=now + seconds)
        if not self.finished:
            self._pipe.wait(min(seconds, max(0.0, due - now)))

    def _start(self, child: Child) -> None:
        child.process = subprocess.Popen(
            child.command,
            stdin=subprocess.DEVNULL,
            env=inherited.environment(),
            start_new_session=True,
            pass_fds=child.descriptors,
            preexec_fn=die_with_supervisor(os.getpid()),
        )
        self._watch.add(child.process.pid)
        child.started_at = time.monotonic()

    def _ended(self, child: Child) -> None:
        assert child.process is not None
        self._watch.remove(child.process.pid)
        if child.may_finish and child.process.returncode == 0:
            child.process, child.finished = None, True
            return
        lived = time.monotonic() - child.started_at
        child.failures = 0 if lived > HEALTHY_LIFE else child.failures + 1
        delay = restart_delay(child.failures)
        log.warning("process_ended", name=child.name, exit_status=child.process.returncode, restart_in_s=delay)
        child.process, child.start_again_at = None, time.monotonic() + delay

    def _stop(self) -> None:
        """Ask all to stop at once, wait for each as long as it may take, kill what is left. Again = now."""
        running = [child for child in self.children if child.process is not None and child.process.poll() is None]
        for child in running:
            self._signal(child, signal.SIGTERM)
        asked = self._pipe.stop_requests
        ends = {child.name: time.monotonic() + child.grace for child in running}
        while running := [child for child in running if child.process is not None and child.process.poll() is None]:
            if self._pipe.stop_requests > asked:
                asked = self._pipe.stop_requests
                for child in running:
                    self._signal(child, signal.SIGTERM)
            for child in running:
                if time.monotonic() > ends[child.name]:
                    log.error("process_killed", name=child.name, reason=f"did not stop within {child.grace:g} s")
                    self._signal(child, signal.SIGKILL)
            self._pipe.wait(0.5)

    def _signal(self, child: Child, number: signal.Signals) -> None:
        assert child.process is not None
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(child.process.pid, number)
            else:
                child.process.send_signal(number)
