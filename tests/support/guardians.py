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
from threading import Thread
from uuid import UUID, uuid4

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_project.settings")
django.setup()

from tasks_app import conf  # noqa: E402
from tasks_app.executors.base import Execution  # noqa: E402
from tasks_app.executors.shell import ShellExecutor  # noqa: E402
from tasks_app.sessions import Session  # noqa: E402
from tests.support.engine import Engine  # noqa: E402
from tests.support.stack import gone  # noqa: E402
from tests.support.waiting import eventually  # noqa: E402
from workers_app import heartbeats, lease  # noqa: E402
from workers_app.heartbeats import Registration  # noqa: E402
from workers_app.processes import guardian  # noqa: E402
from workers_app.processes.guardian import Guardian  # noqa: E402
from workers_app.processes.guardian_link import FENCED, GuardianLink  # noqa: E402
from workers_app.stop_signals import SelfPipe, stop_on_signals  # noqa: E402

#: How long a stand-in lasts that waits for its end.
LONG = 60


#: Whom tasks kill; none of the first three is the worker.
KILLS = [
    "shepherd", "launcher", "launcher shepherd",
    "worker", "worker launcher", "worker shepherd", "worker launcher shepherd",
]  # fmt: skip
#: A stray with a session, name and environment of its own, one that is a child of a stray, and one forked twice.
ESCAPE = """
    (env -i setsid sh -c 'sleep {mark} & (sleep {mark} &) ; : > {ready}; exec sleep {mark}' >/dev/null 2>&1 &)
    until [ -e {ready} ]; do sleep 0.01; done
    parent() {{ cut -d" " -f4 /proc/$1/stat; }}
    shepherd=$PPID; launcher=$(parent $shepherd); worker=$(parent $launcher)
    for victim in {victims}; do eval kill -9 \\$$victim; done
    exit 7
"""


def mark(number: int) -> str:
    """An argument of `sleep` that only the strays of this kill have."""
    return f"8{number}.{os.getppid()}"


def run(executor: ShellExecutor, command: str) -> str:
    deadline = time.monotonic() + LONG
    work = Execution(uuid4(), 1, "SHELL", {"command": command}, timedelta(seconds=LONG), "c", deadline=deadline)
    return executor.execute(work).status.value


def report_strays(victims: str, mark: str) -> None:
    """Say whether they die within the time that a retry waits at least."""
    try:
        gone(mark, timeout=5.0)
    except AssertionError:
        say("left", victims)
    else:
        say("gone", victims)


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
        # Its parent stays, so that it does not come to the guardian before the worker is dead.
        subprocess.Popen(["sh", "-c", f"setsid sleep 7{os.getpid()} & echo $! > {self.marker}; wait"])
        say("orphan", eventually(lambda: Path(self.marker).read_text().strip()))
        os.kill(os.getpid(), signal.SIGKILL)
        return 1

    def escaping(self, worker_id: UUID, link: GuardianLink) -> int:
        """Tasks leave strays behind and kill what stands between these and the guardian: see `KILLS`.

        Another task of the same worker minds its own business. Each incarnation goes on where the last one was killed.
        """
        progress, executor = Path(self.marker), ShellExecutor(config=conf.load({}))
        done = int(progress.read_text()) if progress.exists() else 0
        go = f"{self.marker}.go"
        bystander = Thread(target=lambda: say("bystander", run(executor, f"until [ -e {go} ]; do sleep 0.05; done")))
        if not done:
            bystander.start()
        for number in range(done, len(KILLS)):
            if number:
                report_strays(KILLS[number - 1], mark(number - 1))
            progress.write_text(f"{number + 1}")
            if KILLS[number] == "worker":
                Path(go).touch()
                bystander.join()
            run(executor, ESCAPE.format(mark=mark(number), ready=f"{self.marker}.{number}", victims=KILLS[number]))
        report_strays(KILLS[-1], mark(len(KILLS) - 1))
        return 0

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

    patient = deaf  # whose guardian gives it a minute


class Reporting(Guardian):
    """Says whether the orphan of `Scenarios.crashing` is dead when its tasks are about to move on."""

    def _move_tasks_on(self, worker_id: UUID) -> None:
        if orphan := Path(sys.argv[2]).read_text():
            say("moving", "dead" if not Path(f"/proc/{orphan.strip()}").exists() else "alive")
        super()._move_tasks_on(worker_id)


if __name__ == "__main__":
    scenario, marker = sys.argv[1:]
    guardian.PATIENCE = 1.5  # type: ignore[misc]
    if scenario == "escaping":
        guardian.HEALTHY_LIFE = 0.0  # type: ignore[misc] # no rest before the next start
    guard = Reporting if scenario == "crashing" else Guardian
    grace = timedelta(minutes=1 if scenario == "patient" else 0)
    sys.exit(guard(getattr(Scenarios(marker), scenario), grace=grace).run())
