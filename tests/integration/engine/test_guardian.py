"""The guardian with a stand-in for its worker: when the worker dies, freezes, is fenced, or will not stop."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from unittest.mock import MagicMock

import psutil
import pytest
from django.conf import settings

from tasks_app.models import Task, TaskExecution
from tests.support.guardians import KILLS
from tests.support.stack import Stack, running_stack
from tests.support.waiting import eventually
from workers_app import lease
from workers_app.models import Worker
from workers_app.processes.guardian import Guardian
from workers_app.processes.guardian_link import UNFINISHED

#: The shortest lease there is.
LEASE = 2.5


class Scene:
    """A guardian at work, and what its stand-ins have said."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self._output = output

    def said(self, word: str) -> list[list[str]]:
        lines = [line.split() for line in self._output.read_text().splitlines()]
        return [rest for first, *rest in filter(None, lines) if first == word]

    def hear(self, word: str) -> list[str]:
        """What was said behind the first ``word``."""
        return eventually(lambda: self.said(word), timeout=20)[0]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)


Staging = Callable[[str], Scene]


@pytest.fixture
def stage(committed_db: None, tmp_path: Path) -> Iterator[Staging]:
    with running_stack(tmp_path, WORKER_HEARTBEAT_TIMEOUT_MS=f"{LEASE * 1000:.0f}") as stack:
        yield lambda scenario: begin(stack, tmp_path, scenario)


def begin(stack: Stack, folder: Path, scenario: str) -> Scene:
    output = folder / "said"
    with output.open("wb") as said, stack.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.guardians", scenario, str(folder / "again")],
            cwd=settings.BASE_DIR,
            env=stack.environment,
            stdout=said,
            stderr=log,
            start_new_session=True,
        )
    stack.processes.append(process)
    return Scene(process, output)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class TestGuardian:
    def test_of_a_worker_that_died_kills_what_it_left_and_moves_its_tasks_on_at_once(self, stage: Staging) -> None:
        """No scheduler runs here, and no lease is waited for. The next start is a new incarnation."""
        scene = stage("crashing")
        [task_id], [orphan] = scene.hear("task"), scene.hear("orphan")
        assert scene.process.wait(20) == 0
        assert is_gone(int(orphan))
        assert scene.said("moving") == [["dead"]]  # nobody else may begin what the orphan is still at
        [[first], [second]] = scene.said("worker")
        assert first != second
        assert Worker.objects.get(pk=first).state == "DEAD"
        task, execution = Task.objects.get(pk=task_id), TaskExecution.objects.get(task_id=task_id)
        assert (task.status, task.crash_count, execution.status) == ("PENDING", 1, "LOST")

    def test_kills_what_tasks_hide_from_their_worker_and_nothing_else(self, stage: Staging) -> None:
        """Strays with a session, a name and an environment of their own, whoever is killed with SIGKILL before."""
        scene = stage("escaping")
        eventually(lambda: scene.process.poll() is not None, timeout=60)
        assert [" ".join(victims) for victims in scene.said("gone")] == KILLS
        assert scene.said("bystander") == [["SUCCESS"]]  # its launcher was killed, its shepherd was not
        assert scene.process.returncode == 0

    def test_kills_a_frozen_worker_before_its_lease_ends(self, stage: Staging) -> None:
        scene = stage("frozen")
        pid, sent = scene.hear("frozen")
        eventually(lambda: is_gone(int(pid)), timeout=6)
        assert lease.now() - float(sent) < LEASE
        assert scene.process.wait(20) == 0

    def test_leaves_a_worker_alone_whose_work_is_dead(self, stage: Staging) -> None:
        """It may take as long as it likes to record what it dropped."""
        scene = stage("fenced")
        scene.hear("recorded")
        assert scene.process.wait(20) == 0

    def test_takes_its_worker_along_when_it_dies(self, stage: Staging) -> None:
        scene = stage("deaf")
        [pid] = scene.hear("deaf")
        scene.process.kill()
        eventually(lambda: is_gone(int(pid)))

    def test_ends_a_worker_that_does_not_stop_within_its_grace(self, stage: Staging) -> None:
        scene = stage("deaf")
        [pid] = scene.hear("deaf")
        scene.stop()
        assert scene.process.wait(15) == 1
        assert is_gone(int(pid))

    def test_loses_no_stop_that_comes_while_its_worker_begins(self, stage: Staging, tmp_path: Path) -> None:
        scene = stage("late")
        scene.hear("late")
        scene.stop()
        threading.Timer(3, (tmp_path / "again").touch).start()  # a stand-in that has lost it waits no longer
        assert scene.process.wait(15) == 0

    def test_ends_everything_when_it_is_asked_a_third_time(self, stage: Staging) -> None:
        scene = stage("patient")
        [pid] = scene.hear("deaf")
        began = time.monotonic()
        while not is_gone(int(pid)) and time.monotonic() - began < 10:
            scene.stop()
            time.sleep(0.05)  # two signals at once may arrive as one
        assert time.monotonic() - began < 10
        scene.process.wait(10)

    @pytest.mark.parametrize("status", [0, UNFINISHED])
    def test_starts_no_new_worker_when_one_has_drained(self, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
        guardian, statuses = Guardian(lambda _id, _link: 0, grace=timedelta(0)), iter([status])
        monkeypatch.setattr(guardian, "_run_one", lambda: next(statuses))
        for name in ("_leave_the_database_to_others", "adopt_orphans", "stop_on_signals"):
            monkeypatch.setattr(f"workers_app.processes.guardian.{name}", MagicMock())
        monkeypatch.setattr("workers_app.processes.guardian.signal", MagicMock())
        assert guardian.run() == 0
