"""SHELL attempts when something breaks: the launcher, the kernel's help, or the worker itself."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks_app.executors import shell_launcher, shell_process
from tasks_app.executors.base import Outcome
from tasks_app.executors.shell import ShellExecutor
from tasks_app.states import ErrorCode, ExecutionStatus
from tests.support.machine import ROOT
from tests.support.shell_tasks import (
    Running,
    alive,
    children,
    ended,
    execution,
    kill_and_wait,
    open_descriptors,
    worker,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, and needs a subreaper")


class TestFaults:
    def test_a_dead_launcher_is_replaced_and_running_work_goes_on(
        self, executor: ShellExecutor, start: Callable[..., Running], tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        running = start(f"touch {tmp_path}/ready; until [ -e {tmp_path}/go ]; do sleep 0.01; done; echo done")
        eventually((tmp_path / "ready").exists)
        kill_and_wait(executor)
        began = time.monotonic()
        with caplog.at_level(logging.WARNING), ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(lambda _: executor.execute(execution({"command": "true"})), range(8)))
        assert {outcome.status for outcome in outcomes} == {ExecutionStatus.SUCCESS}
        assert time.monotonic() - began < 2  # its death was seen, not waited for
        assert [record.msg["event"] for record in caplog.records] == ["shell_launcher_replaced"]
        (tmp_path / "go").touch()
        assert running.outcome(within=5).status is ExecutionStatus.SUCCESS

    def test_a_launcher_that_hangs_is_replaced(
        self, executor: ShellExecutor, run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shell_process, "_LAUNCHER_SECONDS", 1.0)  # a start on a busy machine takes half of it
        run("true")
        assert executor.launcher.pid
        os.kill(executor.launcher.pid, signal.SIGSTOP)
        assert run("true").status is ExecutionStatus.SUCCESS

    def test_a_launcher_that_dies_again_and_again_fails_the_attempt(
        self, run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        broken = tmp_path / "launcher.py"
        broken.write_text("raise SystemExit(1)")
        monkeypatch.setattr(shell_launcher, "_PROGRAM", broken)
        began = time.monotonic()
        outcome = run("true")
        assert (outcome.error_code, outcome.retryable) == (ErrorCode.INTERNAL, True)
        assert time.monotonic() - began < 4  # each death was seen, not waited for

    if os.geteuid() != 0:  # otherwise: root may fork above its limit

        def test_a_machine_without_room_for_a_process_fails_the_attempt(
            self, executor: ShellExecutor, run: Callable[..., Outcome]
        ) -> None:
            run("true")
            assert executor.launcher.pid
            resource.prlimit(executor.launcher.pid, resource.RLIMIT_NPROC, (0, 0))
            outcome = run("true")
            assert (outcome.error_code, outcome.retryable) == (ErrorCode.INTERNAL, True)
            assert outcome.error_message == "the worker cannot start a process: Resource temporarily unavailable"

    def test_a_big_request_to_a_launcher_that_hangs_is_sent_again(
        self, executor: ShellExecutor, run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shell_process, "_SEND_SECONDS", 1.0)
        run("true")
        assert executor.launcher.pid
        os.kill(executor.launcher.pid, signal.SIGSTOP)
        words = ["x" * 100_000] * 8  # more than a socket holds
        outcome = executor.execute(execution({"argv": ["sh", "-c", 'echo "$#"', *words]}))
        assert outcome.result
        assert outcome.result["stdout"] == "7\n"

    def test_what_a_killed_shepherd_leaves_is_killed(self, run: Callable[..., Outcome], mark: str) -> None:
        outcome = run(f"setsid sleep {mark} & sleep {mark} & kill -9 $PPID; sleep {mark}")
        assert (outcome.error_code, outcome.retryable) == (ErrorCode.INTERNAL, True)
        assert "watched over the task" in (outcome.error_message or "")
        eventually(lambda: not alive(mark))
        assert run("true").status is ExecutionStatus.SUCCESS

    def test_what_a_killed_shepherd_leaves_is_found_without_its_environment(
        self, run: Callable[..., Outcome], mark: str, tmp_path: Path
    ) -> None:
        ready = tmp_path / "ready"
        stray = f"env -i setsid sh -c 'touch {ready}; sleep {mark}'"
        run(f"{stray} & until [ -e {ready} ]; do sleep 0.01; done; kill -9 $PPID; sleep {mark}")
        assert ready.exists()
        eventually(lambda: not alive(mark))

    def test_what_is_left_without_shepherd_and_launcher_is_killed(
        self, executor: ShellExecutor, run: Callable[..., Outcome], mark: str
    ) -> None:
        run("true")
        outcome = run(f"setsid sleep {mark} & sleep {mark} & kill -9 {executor.launcher.pid} $PPID; sleep {mark}")
        assert outcome.error_code is ErrorCode.INTERNAL
        assert not alive(mark)

    def test_the_leader_dies_with_its_shepherd_whatever_else_is_gone(
        self, executor: ShellExecutor, run: Callable[..., Outcome], mark: str
    ) -> None:
        run("true")
        run(f"exec env -i /bin/sh -c 'kill -9 {executor.launcher.pid} $PPID; exec sleep {mark}'")
        eventually(lambda: not alive(mark))

    def test_a_stopped_shepherd_does_not_outlast_the_deadline(self, run: Callable[..., Outcome], mark: str) -> None:
        began = time.monotonic()
        outcome = run(f"setsid sleep {mark} & kill -STOP $PPID; sleep {mark}", seconds=0.2)
        assert outcome.status is ExecutionStatus.TIMED_OUT
        assert time.monotonic() - began < 2
        eventually(lambda: not alive(mark))

    def test_nothing_leaks_a_descriptor(self, executor: ShellExecutor, run: Callable[..., Outcome]) -> None:
        run("true")
        assert executor.launcher.pid
        resource.prlimit(executor.launcher.pid, resource.RLIMIT_NOFILE, (20, 20))
        before = open_descriptors()
        for _ in range(30):  # the launcher may open 20
            assert run("true").status is ExecutionStatus.SUCCESS
            assert executor.execute(execution({"argv": ["nosuch"]})).error_code is ErrorCode.EXIT_CODE
        assert open_descriptors() == before

    def test_the_launcher_ends_with_the_executor(self, executor: ShellExecutor, run: Callable[..., Outcome]) -> None:
        run("true")
        pid = executor.launcher.pid
        executor.close()
        assert not Path(f"/proc/{pid}").exists()
        assert run("true").status is ExecutionStatus.SUCCESS  # it comes back when needed


class TestWithoutSubreaper:
    """What is left of it on macOS, where the kernel offers no more than process groups."""

    @pytest.fixture(autouse=True)
    def program(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        package = tmp_path / "tasks_app"
        shutil.copytree(
            ROOT / "tasks_app" / "executors", package / "executors", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copy(ROOT / "tasks_app" / "__init__.py", package)
        kernel = package / "executors" / "kernel.py"
        source = kernel.read_text()
        assert source.count('LINUX = sys.platform == "linux"') == 1
        kernel.write_text(source.replace('LINUX = sys.platform == "linux"', "LINUX = False"))
        monkeypatch.setattr(shell_launcher, "_PROGRAM", package / "executors" / "launcher.py")

    def test_runs_programs_and_kills_their_group(self, run: Callable[..., Outcome], mark: str) -> None:
        outcome = run(f"sleep {mark} & echo done; exit 3")
        assert outcome.result
        assert (outcome.result["stdout"], outcome.result["exitCode"]) == ("done\n", 3)
        eventually(lambda: not alive(mark))

    def test_runs_nothing_that_it_cannot_confine(self, make: Callable[..., ShellExecutor]) -> None:
        """There is no Landlock, whatever the worker has found out."""
        outcome = make(SHELL_SANDBOX="landlock").execute(execution({"command": "echo ran"}))
        assert outcome.error_code is ErrorCode.INTERNAL
        assert (outcome.error_message or "").startswith("the worker cannot confine a process as SHELL_SANDBOX says: ")
        assert outcome.result is None

    def test_stops_at_the_deadline(self, run: Callable[..., Outcome], mark: str) -> None:
        outcome = run(f"trap '' TERM; sleep {mark} & sleep {mark}; sleep {mark}", seconds=0.2)
        assert outcome.status is ExecutionStatus.TIMED_OUT
        eventually(lambda: not alive(mark))


class TestWorkerGone:
    """The worker is another process here, so that it can be killed."""

    def test_kill_9_of_the_worker_kills_every_descendant_and_takes_its_files(self, mark: str, tmp_path: Path) -> None:
        command = f"setsid sleep {mark} & sleep {mark} & trap '' TERM HUP; mkdir a; : > a/b; sleep {mark}; sleep {mark}"
        with worker(command, env={"TMPDIR": str(tmp_path)}) as process:
            eventually(lambda: len(alive(mark)) == 4 and list(tmp_path.glob("*/a/b")))
            launchers = children(process.pid)
            process.kill()
            eventually(lambda: not alive(mark))
            eventually(lambda: all(ended(pid) for pid in launchers))
            assert list(tmp_path.iterdir()) == []

    def test_a_worker_paused_past_its_lease_loses_the_task(self, mark: str) -> None:
        # 2.5 s of lease less 1 s of margin less an interval: killed after 1.25 s of silence, not before.
        lease = {"WORKER_HEARTBEAT_TIMEOUT_MS": "2500", "WORKER_HEARTBEAT_INTERVAL_MS": "250"}
        with worker(f"trap '' TERM; sleep {mark}; sleep {mark}", env=lease) as process:
            eventually(lambda: len(alive(mark)) == 2)
            process.send_signal(signal.SIGSTOP)
            paused = time.monotonic()
            eventually(lambda: not alive(mark), timeout=2.5)
            assert time.monotonic() - paused > 0.8
            process.send_signal(signal.SIGCONT)
            assert process.stdout
            assert process.stdout.read().startswith("INTERNAL killed because its worker was paused")

    def test_a_silent_task_of_a_live_worker_is_left_alone(self, make: Callable[..., ShellExecutor]) -> None:
        executor = make(WORKER_HEARTBEAT_TIMEOUT_MS="2500", WORKER_HEARTBEAT_INTERVAL_MS="750")
        assert executor.execute(execution({"command": "sleep 1.2"})).status is ExecutionStatus.SUCCESS
