"""A supervisor that is killed takes its children along, with and without the kernel's help."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.processes import ROOT
from tests.support.waiting import eventually
from workers_app.processes.orphans import KERNEL_WATCHES, left_over

#: Says its own and its child's process id, then waits for the child. The child writes down the signal that ends it.
SUPERVISOR = """
import sys
from workers_app.processes import orphans, supervisor
if sys.argv[1] == "watcher":
    supervisor.die_with_supervisor = lambda _: None
    supervisor.Watch = lambda: orphans.Watch(needed=True)
child = supervisor.Child("child", [sys.executable, "-c", sys.argv[2], sys.argv[3]], grace=5)
with supervisor.Supervisor([child]) as running:
    print(child.process.pid, flush=True)
    running.run()
"""
CHILD = """
import pathlib, signal, sys, time
def end(number, frame):
    pathlib.Path(sys.argv[1]).write_text(signal.Signals(number).name)
    sys.exit()
signal.signal(signal.SIGTERM, end)
pathlib.Path(sys.argv[1]).write_text("up")
while True: time.sleep(60)
"""
WAYS = ["kernel", "watcher"] if KERNEL_WATCHES else ["watcher"]


class Scene:
    def __init__(self, way: str, said: Path) -> None:
        self.said = said
        command = [sys.executable, "-c", SUPERVISOR, way, CHILD, str(said)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.child = psutil.Process(int(self.process.stdout.readline()))
        eventually(lambda: said.exists() and said.read_text() == "up", timeout=20)

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture(params=WAYS)
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(request.param, tmp_path / "said")
    yield made
    for process in [made.process, made.child]:
        if process.poll() is None if isinstance(process, subprocess.Popen) else process.is_running():
            process.kill()
    made.process.wait(10)
    assert made.process.stdout is not None
    made.process.stdout.close()


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


class TestChildren:
    def test_are_asked_to_stop_when_the_supervisor_is_killed(self, scene: Scene) -> None:
        family = scene.family()
        scene.process.kill()
        eventually(lambda: gone(family), timeout=10)
        assert scene.said.read_text() == "SIGTERM"

    def test_and_the_watcher_end_when_it_stops(self, scene: Scene) -> None:
        family = scene.family()
        scene.process.send_signal(signal.SIGTERM)
        assert scene.process.wait(10) == 0
        eventually(lambda: gone(family), timeout=10)


class TestLeftOver:
    def test_is_what_was_added_and_not_removed(self) -> None:
        assert left_over(["+1\n", "+2\n", "-1\n", "+3\n"]) == {2, 3}

    def test_is_nothing_after_a_good_end(self) -> None:
        assert left_over(["+1\n", "end\n"]) == set()
