"""A guardian and its worker as processes of their own: ``python -m tests.support.guardians SCENARIO``.

The worker is a stand-in that does one thing and says so on stdout, one line ``word value …`` at a time. Each scenario
is for one promise of ``workers_app/processes/guardian.py``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_project.settings")
django.setup()

from tasks_app.sessions import Session  # noqa: E402
from tests.support.engine import Engine  # noqa: E402
from workers_app import heartbeats  # noqa: E402
from workers_app.heartbeats import Registration  # noqa: E402
from workers_app.processes import lease  # noqa: E402
from workers_app.processes.guardian import FENCED, Guardian, GuardianLink  # noqa: E402
from workers_app.processes.signals import SelfPipe, stop_on_signals  # noqa: E402

#: How long a stand-in lasts that waits for its end.
LONG = 60


def say(*words: object) -> None:
    print(*words, flush=True)


class Scenarios:
    """The stand-ins. Those that the guardian starts again end with 0 the second time."""

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def again(self) -> bool:
        """Whether a stand-in ran before: a file remembers, for each is a fork of the guardian as it was."""
        try:
            os.close(os.open(self.marker, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return True
        return False

    def crashing(self, worker_id: UUID, link: GuardianLink) -> int:
        """Leaves a running task and a process in a session of its own behind."""
        again = self.again()
        say("worker", worker_id)
        if again:
            return 0
        engine = Engine(Session("stand-in"))
        heartbeats.register_worker(
            engine.session,
            Registration(
                worker_id=worker_id, host="h", pid=1, name="w", slots=1, queues=None, labels={}, version="test"
            ),
        )
        say("task", engine.running(worker_id).task_id)
        subprocess.run(["sh", "-c", f"setsid sleep 7{os.getpid()} & echo orphan $!"], check=True)
        os.kill(os.getpid(), signal.SIGKILL)
        return 1

    def frozen(self, worker_id: UUID, link: GuardianLink) -> int:
        if self.again():
            return 0
        sent = lease.now()
        link.beat(sent)
        say("frozen", os.getpid(), sent)
        os.kill(os.getpid(), signal.SIGSTOP)
        return 1

    def fenced(self, worker_id: UUID, link: GuardianLink) -> int:
        """Has dropped its work, and takes longer than its lease to record that."""
        if self.again():
            return 0
        link.beat(lease.now())
        link.confirm_fenced()
        time.sleep(3)
        say("recorded", os.getpid())
        return FENCED

    def late(self, worker_id: UUID, link: GuardianLink) -> int:
        """Takes its time until it minds signals, as a worker does that still imports and connects."""
        say("late", os.getpid())
        while signal.SIGTERM not in signal.sigpending() and not Path(self.marker).exists():
            time.sleep(0.01)
        pipe = SelfPipe()
        with stop_on_signals(pipe):
            return 0 if pipe.stop_requests else 1

    def deaf(self, worker_id: UUID, link: GuardianLink) -> int:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say("deaf", os.getpid())
        time.sleep(LONG)
        return 1


if __name__ == "__main__":
    scenario, marker = sys.argv[1:]
    sys.exit(Guardian(getattr(Scenarios(marker), scenario), grace=timedelta(0)).run())
