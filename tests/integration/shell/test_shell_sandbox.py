"""What SHELL tasks are held to at each level of SHELL_SANDBOX, with real processes.

``landlock`` and ``bwrap`` need a kernel, a program and permissions that not every machine has. Where one cannot be
used, each of its tests asserts what must be so there: nothing runs, and the reason is said.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tasks_app import conf
from tasks_app.executors import landlock, shell_sandbox
from tasks_app.executors.base import Outcome, StopReason
from tasks_app.executors.shell import ShellExecutor
from tasks_app.states import ErrorCode, ExecutionStatus
from tests.support.shell_tasks import Running, alive, execution
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own limits")

CORES = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
#: What a program is held to, one line each.
SHOW = """
    umask; ulimit -c; ulimit -n; ulimit -t; ulimit -f; ulimit -v; grep NoNewPrivs /proc/self/status | cut -f2
    cat /proc/self/oom_score_adj;
"""

Make = Callable[..., ShellExecutor]


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where tasks get their folders, and nobody else does anything."""
    (folder := tmp_path / "base").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def make(base: Path) -> Iterator[Make]:
    made: list[ShellExecutor] = []

    def build(**environ: str) -> ShellExecutor:
        made.append(ShellExecutor(config=conf.load(environ)))
        return made[-1]

    yield build
    for executor in made:
        executor.close()


def run(executor: ShellExecutor, command: str, **payload: Any) -> Outcome:
    return executor.execute(execution({"command": command, **payload}))


def stdout(outcome: Outcome) -> str:
    assert outcome.status is ExecutionStatus.SUCCESS, (outcome.error_message, outcome.result)
    assert outcome.result
    return str(outcome.result["stdout"])


class TestLimits:
    def test_are_set_for_every_task(self, make: Make) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))  # else there may be none to take away
        try:
            shown = stdout(run(make(), SHOW)).split()
        finally:
            resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
        assert shown == ["0077", "0", "1024", str(35 * CORES), str(10_240 * 2048), "unlimited", "1", "500"]

    def test_hold_for_root_too(self, make: Make) -> None:
        commands = "ulimit -Hn 20000; ulimit -Hc 100; ulimit -t unlimited; ulimit -f unlimited"
        for command in commands.split("; "):
            assert run(make(), command).status is ExecutionStatus.FAILED, command

    def test_can_be_chosen(self, make: Make) -> None:
        executor = make(SHELL_MAX_MEMORY_MB="300", SHELL_MAX_FILE_MB="0")
        assert stdout(run(executor, "ulimit -f; ulimit -v")).split() == ["unlimited", "307200"]

    def test_are_not_raised_where_the_worker_has_lower_ones(self, make: Make) -> None:
        executor = make()
        run(executor, "true")
        assert executor.launcher.pid
        resource.prlimit(executor.launcher.pid, resource.RLIMIT_NOFILE, (100, 100))
        assert stdout(run(executor, "ulimit -n; ulimit -Hn")).split() == ["100", "100"]

    def test_are_none_at_level_none(self, make: Make, base: Path) -> None:
        outcome = run(make(SHELL_SANDBOX="none"), f"{SHOW} pwd; echo ${{TMPDIR-none}}")
        mask, _core, _files, cpu, size, _memory, privileges, score, folder, tmpdir = stdout(outcome).split()
        assert (cpu, size, privileges) == ("unlimited", "unlimited", "0")
        assert int(score) == int(Path("/proc/self/oom_score_adj").read_text())
        assert (folder, tmpdir, int(mask, 8)) == (str(base), os.environ.get("TMPDIR", "none"), current_umask())
        assert outcome.result
        assert outcome.result["sandbox"] == "none"

    def test_a_file_that_grows_too_large_ends_the_task_and_says_so(self, make: Make) -> None:
        outcome = run(make(SHELL_MAX_FILE_MB="1"), "exec head -c 2000000 /dev/zero > large")
        assert (outcome.error_code, outcome.retryable) == (ErrorCode.EXIT_CODE, True)
        assert (
            outcome.error_message == "was ended by SIGXFSZ: a file it wrote would have grown beyond SHELL_MAX_FILE_MB"
        )

    def test_memory_ends_where_it_was_set(self, make: Make) -> None:
        payload = {"argv": [sys.executable, "-I", "-S", "-c", "'x' * 400_000_000"]}
        outcome = make(SHELL_MAX_MEMORY_MB="300").execute(execution(payload))
        assert outcome.result
        assert "MemoryError" in outcome.result["stderr"]
        assert make().execute(execution(payload)).status is ExecutionStatus.SUCCESS

    def test_what_was_used_is_in_the_result(self, make: Make) -> None:
        code = "x = 'x' * 90_000_000; import time\nwhile time.process_time() < 0.2: pass"
        outcome = make().execute(execution({"argv": ["sh", "-c", f'{sys.executable} -I -S -c "{code}" & wait']}))
        assert outcome.result
        assert outcome.result["maxRssBytes"] > 90_000_000
        assert 200 <= outcome.result["cpuMs"] < 3000
        idle = run(make(), "true").result
        assert idle
        assert idle["maxRssBytes"] < 60_000_000
        assert idle["cpuMs"] < 200

    def test_nothing_was_used_by_what_never_ran(self, make: Make) -> None:
        result = make().execute(execution({"argv": ["/no/such"]})).result
        assert result
        assert (result["maxRssBytes"], result["cpuMs"], result["sandbox"]) == (None, None, "limits")


class TestScratchFolder:
    def test_is_the_tasks_own_and_goes_with_it(self, make: Make, base: Path) -> None:
        executor = make()
        show = 'pwd; echo "$TMPDIR"; stat -c %a .; mkdir -p a/b; touch a/b/c; chmod 0 a/b; touch x; stat -c %a x'
        first, second = (stdout(run(executor, show)).split() for _ in range(2))
        assert first[0] == first[1] != second[1]
        assert (first[2:], Path(first[0]).parent) == (["700", "600"], base)
        eventually(lambda: not os.listdir(base))  # noqa: PTH208

    def test_is_left_out_of_what_the_task_sets_itself(self, make: Make, tmp_path: Path) -> None:
        outcome = run(make(), 'echo "$TMPDIR"; pwd', environment={"TMPDIR": "/x"}, workingDirectory=str(tmp_path))
        assert stdout(outcome).split() == ["/x", str(tmp_path)]

    @pytest.mark.parametrize("victims", ["$PPID", "$launcher", "$launcher $PPID"])
    def test_goes_whoever_was_killed(self, make: Make, base: Path, victims: str) -> None:
        executor = make()
        run(executor, f'launcher=$(cut -d" " -f4 /proc/$PPID/stat); mkdir a; touch a/b; kill -9 {victims}; sleep 1')
        run(executor, "true")  # the next launcher looks for what the last one left
        eventually(lambda: not os.listdir(base))  # noqa: PTH208

    def test_goes_when_its_shepherd_is_killed_after_the_launcher_was_replaced(
        self, make: Make, base: Path, tmp_path: Path
    ) -> None:
        executor, launcher, go = make(), tmp_path / "launcher", tmp_path / "go"
        command = f"""
            cut -d" " -f4 /proc/$PPID/stat > {launcher}.part; mv {launcher}.part {launcher}
            until [ -e {go} ]; do sleep 0.02; done; kill -9 $PPID; sleep 1
        """
        running = Running(executor, execution({"command": command}))
        eventually(launcher.exists)
        os.kill(int(launcher.read_text()), signal.SIGKILL)
        stdout(run(executor, "true"))
        go.touch()
        assert "was killed" in (running.outcome(within=5).error_message or "")
        eventually(lambda: not os.listdir(base))  # noqa: PTH208

    def test_that_cannot_be_made_is_the_workers_failure(self, make: Make, base: Path) -> None:
        executor = make()
        run(executor, "true")
        eventually(lambda: not os.listdir(base))  # noqa: PTH208
        base.rmdir()
        outcome = run(executor, "true")
        assert (outcome.error_code, outcome.retryable) == (ErrorCode.INTERNAL, True)
        assert outcome.error_message == (
            "the worker cannot make a folder for temporary files: No such file or directory"
        )
        base.mkdir()


@pytest.fixture(params=["landlock", "bwrap"])
def confined(request: pytest.FixtureRequest, make: Make, tmp_path: Path) -> Confined:
    (writable := tmp_path / "writable").mkdir()
    (secret := tmp_path / "secret").mkdir()
    (secret / "key").write_text("s3cr3t")
    return Confined(request.param, make, writable, secret)


class Confined:
    """An executor at one of the stronger levels, or what stands in its way."""

    def __init__(self, level: str, make: Make, writable: Path, secret: Path) -> None:
        self.level, self.writable, self.secret = level, writable, secret
        self.environ = {"SHELL_SANDBOX": level, "SHELL_WRITABLE_PATHS": str(writable)}
        self.executor = make(**self.environ)
        self.problem = shell_sandbox.problem(conf.load(self.environ), self.executor)

    def run(self, command: str, **payload: Any) -> Outcome | None:
        """How a command ended; None, once it was seen to be refused, where this level cannot be used."""
        outcome = run(self.executor, command, **payload)
        if self.problem is None:
            return outcome
        assert self.problem
        assert outcome.status is ExecutionStatus.FAILED
        assert not (outcome.result or {}).get("stdout")
        return None


class TestConfined:
    """Both of the stronger levels."""

    def test_runs_programs_of_the_system_with_what_they_need(self, confined: Confined) -> None:
        command = """
            set -e; echo one > "$TMPDIR/x"; cat x; grep -c root: /etc/passwd; head -c 3 /dev/urandom | wc -c
            echo > /dev/null; echo two > /dev/stdout; date +%Y > /dev/null
            test "$(ls /proc/self/fd | wc -l)" -ge 3; mkfifo pipe; test -p pipe
        """
        if outcome := confined.run(command):
            assert stdout(outcome).split() == ["one", "1", "3", "two"]
            assert outcome.result
            assert outcome.result["sandbox"] == confined.level
            assert outcome.result["maxRssBytes"] > 0

    def test_writes_where_it_may_and_nowhere_else(self, confined: Confined, tmp_path: Path) -> None:
        """Asked of the one account's own folders: a sandbox that is broken leaves nothing elsewhere."""
        tries = "".join(f'touch "{place}/written" && echo "{place}"; ' for place in (confined.secret, tmp_path))
        if outcome := confined.run(f"{tries} echo kept > {confined.writable}/file; true", workingDirectory="/usr"):
            assert outcome.status is ExecutionStatus.SUCCESS
            assert (confined.writable / "file").read_text() == "kept\n"
        assert not (confined.secret / "written").exists()
        assert not (tmp_path / "written").exists()

    def test_reads_nothing_of_an_account(self, confined: Confined) -> None:
        (confined.writable / "link").symlink_to(confined.secret / "key")
        command = f"cat {confined.secret}/key {confined.writable}/link; ls {confined.secret}; true"
        if outcome := confined.run(command):
            assert stdout(outcome) == ""

    def test_cannot_truncate_or_rename_what_is_outside(self, confined: Confined) -> None:
        key, taken = confined.secret / "key", confined.writable / "key"
        confined.run(
            f"truncate -s 0 {key}; perl -e 'truncate(shift, 0)' {key}; mv {key} {taken}; ln {key} {taken}; true"
        )
        assert key.read_text() == "s3cr3t"
        assert not taken.exists()

    def test_makes_no_device_through_which_it_would_reach_a_disk(self, confined: Confined) -> None:
        """Root may make them, and some kernels grant mknod to nobody else: the null device is harmless."""
        command = "mkdir own; cd own; mknod null c 1 3; mknod loop b 7 0; mkfifo pipe && ls"
        if outcome := confined.run(command):
            assert stdout(outcome) == "pipe\n"

    def test_cannot_signal_what_watches_over_it(self, confined: Confined) -> None:
        # One process each, by its number, so that a sandbox that is broken kills nobody else.
        command = f"kill -9 $PPID; kill -0 {os.getpid()} && echo reached; echo alive"
        if (outcome := confined.run(command)) and (confined.level == "bwrap" or landlock.abi() >= 6):
            assert stdout(outcome) == "alive\n"

    def test_starts_in_no_folder_that_was_not_given(self, confined: Confined) -> None:
        (confined.writable / "way").symlink_to(confined.secret)
        for folder in (confined.secret, confined.writable / "way", confined.writable / ".." / "secret", "/", "/tmp"):
            outcome = run(confined.executor, "true", workingDirectory=str(folder))
            assert (outcome.error_code, outcome.retryable) == (ErrorCode.TASK_FAILED, False)
            assert "SHELL_WRITABLE_PATHS" in (outcome.error_message or "")
        if outcome := confined.run("pwd", workingDirectory=str(confined.writable)):
            assert stdout(outcome).strip() == str(confined.writable)

    def test_starts_in_no_folder_that_the_worker_cannot_look_up(
        self, confined: Confined, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As /proc/1/root is for an ordinary account: its link cannot be read."""
        (way := confined.writable / "way").symlink_to(confined.writable)
        read = os.readlink

        def refuse(path: str, **more: Any) -> str:
            if str(path) == str(way):
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return read(path, **more)

        monkeypatch.setattr(os, "readlink", refuse)
        outcome = run(confined.executor, "true", workingDirectory=str(way / "sub"))
        assert (outcome.error_code, outcome.retryable) == (ErrorCode.TASK_FAILED, False)
        assert "SHELL_WRITABLE_PATHS" in (outcome.error_message or "")

    def test_passes_exit_codes_on_and_tells_what_cannot_run(self, confined: Confined) -> None:
        if outcome := confined.run("exit 7"):
            assert outcome.error_message == "exited with code 7"
            missing = confined.executor.execute(execution({"argv": ["no-such-program"]}))
            assert missing.error_code is ErrorCode.EXIT_CODE
            assert "no-such-program" in (missing.error_message or "")

    def test_has_the_grace_for_a_clean_end_and_leaves_nothing(self, confined: Confined) -> None:
        ready = confined.writable / "ready"
        mark = f"62.{os.getpid()}{confined.level == 'bwrap':d}"
        inner = f"""
            (setsid sleep {mark} &); trap 'sleep 0.1; echo cleaned; exit 3' TERM
            : > {ready}; while :; do sleep 0.02; done
        """
        running = Running(confined.executor, execution({"command": inner}))
        if confined.problem:
            running.outcome(within=10)
            return
        eventually(ready.exists)
        running.execution.stop(StopReason.CANCEL)
        outcome = running.outcome(within=4)
        assert outcome.status is ExecutionStatus.CANCELLED
        assert outcome.result
        assert outcome.result["stdout"] == "cleaned\n"
        eventually(lambda: not alive(mark))

    def test_keeps_the_network(self, confined: Confined) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)"
            python = next(
                (path for path in ("/usr/bin/python3", "/usr/local/bin/python3") if Path(path).exists()), None
            )
            if python and (outcome := confined.run(f'{python} -c "{code}" && echo connected')):
                assert stdout(outcome) == "connected\n"


class TestNamespaces:
    def test_show_a_task_nothing_but_itself(self, make: Make) -> None:
        executor = make(SHELL_SANDBOX="bwrap")
        outcome = run(executor, "ls /proc | grep -c '^[0-9]'; ls -A /tmp; pwd; grep CapEff /proc/self/status | cut -f2")
        if shell_sandbox.problem(conf.load({"SHELL_SANDBOX": "bwrap"}), executor):
            assert outcome.error_code in (ErrorCode.INTERNAL, ErrorCode.EXIT_CODE)
        else:
            processes, folder, capabilities = stdout(outcome).split()
            assert int(processes) <= 5
            assert (folder, int(capabilities, 16)) == ("/tmp", 0)

    def test_hides_the_tasks_variables_from_what_confines_it(self, make: Make) -> None:
        """Which would load what LD_PRELOAD names; and its arguments are for everybody on the host to see."""
        executor = make(SHELL_SANDBOX="bwrap")
        command = "for of in environ cmdline; do tr '\\0' '\\n' < /proc/1/$of | grep -c 'hidde[n]'; done; echo $MARK"
        outcome = run(executor, command, environment={"MARK": "hidden"})
        if not shell_sandbox.problem(conf.load({"SHELL_SANDBOX": "bwrap"}), executor):
            assert stdout(outcome).split() == ["0", "0", "hidden"]

    def test_are_made_by_a_program_that_is_given_no_variables_of_the_task(
        self, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Also where there is no bubblewrap: a stand-in says what it was given."""
        (tmp_path / "bwrap").write_text("#!/bin/sh\necho ${MARK-nothing}; exit 0\n")
        (tmp_path / "bwrap").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        outcome = run(make(SHELL_SANDBOX="bwrap"), "true", environment={"MARK": "hidden"})
        assert stdout(outcome) == "nothing\n"


class TestProblem:
    def test_is_none_for_the_levels_that_need_nothing(self, make: Make) -> None:
        for environ in ({}, {"SHELL_SANDBOX": "none"}, {"SHELL_SANDBOX": "bwrap", "SHELL_TASKS_ENABLED": "false"}):
            assert shell_sandbox.problem(conf.load(environ), make(**environ)) is None

    def test_names_a_path_that_is_not_there(self, make: Make) -> None:
        environ = {"SHELL_SANDBOX": "landlock", "SHELL_WRITABLE_PATHS": "/no/such"}
        why = shell_sandbox.problem(conf.load(environ), make(**environ))
        assert why == "SHELL_WRITABLE_PATHS: '/no/such' is no directory on this host"

    def test_names_a_program_that_is_not_there(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/no/such")
        environ = {"SHELL_SANDBOX": "bwrap"}
        executor = make(**environ)
        assert shell_sandbox.problem(conf.load(environ), executor) == "bwrap is not in PATH: install bubblewrap"
        outcome = executor.execute(execution({"argv": ["/bin/sh", "-c", "echo ran"]}))
        assert outcome.error_code is ErrorCode.INTERNAL
        assert outcome.error_message == (
            "the worker cannot confine a process as SHELL_SANDBOX says: No such file or directory"
        )

    def test_is_what_the_program_says_that_is_there(
        self, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """As bubblewrap does where user namespaces are forbidden."""
        (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2; exit 1\n")
        (tmp_path / "bwrap").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        environ = {"SHELL_SANDBOX": "bwrap"}
        why = shell_sandbox.problem(conf.load(environ), make(**environ))
        assert "No permissions to create new namespace" in (why or "")

    def test_keeps_a_worker_from_starting(self) -> None:
        done = subprocess.run(
            [sys.executable, str(settings.BASE_DIR / "manage.py"), "runworker"],
            env={**os.environ, "SHELL_SANDBOX": "bwrap", "PATH": "/no/such"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert done.stderr == "SHELL_SANDBOX: bwrap cannot be used here: bwrap is not in PATH: install bubblewrap\n"


def current_umask() -> int:
    mask = Path("/proc/self/status").read_text().partition("Umask:\t")[2].split()[0]
    return int(mask, 8)
