"""The guardian: a small parent process of each worker that runs no tasks and so outlives what goes wrong with them.

It knows its worker's incarnation id, hears of every accepted beat over a pipe, and does four things:
when the worker exits, it kills every process the worker left behind (as child subreaper they come to it, ``setsid`` or
not), marks the incarnation DEAD, moves its tasks on at once, and starts a new one; when the lease is about to end and
the worker has not confirmed that its work is dead, it kills the whole tree; and it passes stop signals on. While the
worker lives, it kills what comes to it because a task has killed everything between itself and the guardian. The worker
dies with it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

import structlog
from django.conf import settings
from django.db import DatabaseError, connections

from access_app.database_faults import DatabaseAway, backoff
from tasks_app import signals, wakeups
from tasks_app.executors import process_tree
from tasks_app.sessions import Session
from workers_app import heartbeats, lease, recovery
from workers_app.processes.descendants import PASS, kill_descendants, reaped
from workers_app.processes.guardian_link import FENCED, UNFINISHED, GuardianLink, WorkerLink
from workers_app.processes.prctl import adopt_orphans, die_with_parent
from workers_app.processes.restarts import HEALTHY_LIFE, restart_delay
from workers_app.stop_signals import STOP_SIGNALS, SelfPipe, stop_on_signals

log = structlog.get_logger(__name__)

#: How long the guardian tries to mark a death; after that it is found by its silent beat counter.
MARK_FOR: Final = 3.0
#: How much longer than its grace a worker may take to stop before it is killed.
PATIENCE: Final = 5.0
#: Seconds between two looks for processes that tasks have hidden from the worker.
LOOK_EVERY: Final = 0.2 if process_tree.KERNEL_LISTS_CHILDREN else 1.0


class Guardian:
    """Runs ``work(worker_id, link) -> exit status`` in a child process, again and again until it ends with 0.

    The calling process must have no other thread, because the child is a fork of it.
    """

    def __init__(self, work: Callable[[UUID, GuardianLink], int], *, grace: timedelta) -> None:
        self._work = work
        self._grace = grace.total_seconds()
        self._pipe = SelfPipe()
        self._passed_on = 0
        self._stop_since: float | None = None

    def run(self) -> int:
        """Return the exit status for this process: 0 when the last worker ended in good order."""
        _leave_the_database_to_others()
        adopt_orphans(adopt=True)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: self._pipe.wake())
        failures = 0
        with stop_on_signals(self._pipe):
            while True:
                began = time.monotonic()
                status = self._run_one()
                drained = status in (0, UNFINISHED)
                if drained or self._stop_since is not None:
                    return 0 if drained else 1
                failures = 0 if status == FENCED or time.monotonic() - began > HEALTHY_LIFE else failures + 1
                delay = restart_delay(failures)
                log.warning("worker_restarting", exit_status=status, delay_s=delay)
                if self._pause(delay):
                    return 1

    def _run_one(self) -> int:
        """Run one incarnation to its end, clean up after it, and return its exit status (negative: a signal)."""
        worker_id = uuid4()
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        connections.close_all()
        sys.stdout.flush()
        sys.stderr.flush()
        gc.freeze()  # what is loaded by now stays: not looked at by collections, its pages stay shared with the child
        # Until the worker has handlers of its own, it has ours: a stop that came then would be lost on it.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            self._become_worker(worker_id, writer)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        os.close(writer)
        try:
            status = self._watch(pid, WorkerLink(reader))
        finally:
            os.close(reader)
        kill_descendants()
        if status != 0:
            self._move_tasks_on(worker_id)
        return status

    def _become_worker(self, worker_id: UUID, writer: int) -> None:
        """The child: a session of its own (a terminal's Ctrl-C is the guardian's to pass on), dying with its parent."""
        guardian = os.getppid()
        status = 1
        try:
            os.setsid()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in STOP_SIGNALS:
                if signal.getsignal(number) == self._pipe.on_signal:
                    signal.signal(number, signal.SIG_DFL)
            adopt_orphans(adopt=False)
            die_with_parent(signal.SIGKILL)
            if os.getppid() == guardian:  # it did not die before the line above
                status = self._work(worker_id, GuardianLink(writer))
        except BaseException:
            log.exception("worker_crashed", worker_id=str(worker_id))
        finally:
            with contextlib.suppress(Exception):
                sys.stderr.flush()
            os._exit(status)

    def _watch(self, pid: int, link: WorkerLink) -> int:
        """Wait for the worker's end; end it when its lease or the operator's patience does."""
        while True:
            if (status := reaped(pid)) is not None:
                return status
            self._pass_on_signals(pid)
            rest = self._patience(link)
            if rest <= 0:
                log.error("worker_killed", pid=pid, reason="its lease ends and it does not stop its work")
                kill_descendants()
                continue
            if process_tree.kill_pass(process_tree.strays(trusted_session=pid)):
                rest = min(rest, PASS)
            if self._pipe.wait(min(rest, LOOK_EVERY), *link.open):
                link.read()

    def _patience(self, link: WorkerLink) -> float:
        """Seconds until the tree must be killed."""
        config, rests = settings.SCHEDULER, []
        if link.last_beat is not None and not link.confirmed:
            usable = (config.heartbeat_timeout - config.lease_margin / 2).total_seconds()
            rests.append(link.last_beat + usable - lease.now())
        if self._stop_since is not None:
            rests.append(self._stop_since + self._grace + PATIENCE - time.monotonic())
        if self._passed_on > 2:
            rests.append(0.0)
        return min(rests, default=3600.0)

    def _pass_on_signals(self, pid: int) -> None:
        while self._passed_on < self._pipe.stop_requests:
            self._passed_on += 1
            self._stop_since = self._stop_since or time.monotonic()
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _pause(self, seconds: float) -> bool:
        """Rest before a new start; whether a stop was asked for meanwhile."""
        end = time.monotonic() + seconds
        while self._pipe.stop_requests == 0 and (rest := end - time.monotonic()) > 0:
            self._pipe.wait(rest)
        return self._pipe.stop_requests > 0

    def _move_tasks_on(self, worker_id: UUID) -> None:
        session = Session("guardian", direct=True, statement_timeout="2000")
        end, failures = time.monotonic() + MARK_FOR, 0
        while time.monotonic() < end:
            try:
                if lost := heartbeats.mark_dead(session, worker_id):
                    reason = "its process ended; the guardian saw it"
                    signals.worker_lost.send_robust(type(self), **lost._asdict(), reason=reason)
                if rows := recovery.recover_lost_tasks(session):
                    signals.tasks_recovered.send_robust(type(self), scheduler_id=None, rows=rows)
                break
            except DatabaseAway:
                failures += 1
                self._pipe.wait(backoff(failures))
        wakeups.notify_schedulers(session)
        session.close()


def _leave_the_database_to_others() -> None:
    """Have the embedded server started now, if it is the database and down, and never again from here.

    A server started below a subreaper would be one of its descendants, and be killed with what a worker left behind.
    """
    with contextlib.suppress(DatabaseError):
        connections["default"].ensure_connection()
    connections["default"].settings_dict["EMBEDDED"] = None
