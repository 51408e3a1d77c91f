"""SHELL attempts with real processes: how they end, and that nothing of them stays."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import uuid4

import pytest

from tasks_app import conf
from tasks_app.executors import shell_launcher, shell_process
from tasks_app.executors.base import Outcome, StopReason
from tasks_app.executors.capture import LIMIT
from tasks_app.executors.kernel import PRYING_CAPABILITIES
from tasks_app.executors.shell import ShellExecutor
from tasks_app.states import ErrorCode, ExecutionStatus
from tests.support.shell_tasks import Running, alive, execution, state
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, and needs a subreaper")

ROOT = Path(__file__).parents[2]
GRACE = timedelta(seconds=0.3)


@pytest.fixture
def make() -> Iterator[Callable[..., ShellExecutor]]:
    made: list[ShellExecutor] = []

    def build(grace: timedelta = GRACE, **environ: str) -> ShellExecutor:
        made.append(ShellExecutor(config=conf.load(environ), grace=grace))
        return made[-1]

    yield build
    for executor in made:
        executor.close()


@pytest.fixture
def executor(make: Callable[..., ShellExecutor]) -> ShellExecutor:
    return make()


@pytest.fixture
def mark() -> Iterator[str]:
    """An argument for `sleep` that no other process has; what is left of it is killed after a failed test."""
    mark = f"61.{uuid4().int % 10**12:012d}"
    yield mark
    for pid in alive(mark):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def run(executor: ShellExecutor) -> Callable[..., Outcome]:
    return lambda command, seconds=30, **more: executor.execute(
        execution({"command": command, **more}, seconds=seconds)
    )


@pytest.fixture
def start(executor: ShellExecutor) -> Callable[..., Running]:
    return lambda command, seconds=30: Running(executor, execution({"command": command}, seconds=seconds))


class TestEnding:
    def test_exit_code_0_succeeds_with_its_output(self, run: Callable[..., Outcome]) -> None:
        outcome = run("echo out; echo err >&2")
        assert outcome.status is ExecutionStatus.SUCCESS
        assert outcome.result
        used = {name: outcome.result.pop(name) for name in ("cpuMs", "maxRssBytes")}
        assert all(isinstance(value, int) for value in used.values())
        assert outcome.result == {
            "exitCode": 0,
            "signal": None,
            "stdout": "out\n",
            "stderr": "err\n",
            "stdoutTruncated": False,
            "stderrTruncated": False,
            "sandbox": "limits",
        }

    def test_other_exit_codes_fail_and_keep_the_output(self, run: Callable[..., Outcome]) -> None:
        outcome = run("echo out; exit 7")
        assert (outcome.status, outcome.error_code) == (ExecutionStatus.FAILED, ErrorCode.EXIT_CODE)
        assert outcome.retryable
        assert outcome.error_message == "exited with code 7"
        assert outcome.result
        assert (outcome.result["exitCode"], outcome.result["signal"], outcome.result["stdout"]) == (7, None, "out\n")

    @pytest.mark.parametrize(("number", "name"), [("KILL", "SIGKILL"), ("SEGV", "SIGSEGV"), ("40", "SIG40")])
    def test_a_signal_fails_and_is_named(self, run: Callable[..., Outcome], number: str, name: str) -> None:
        outcome = run(f"kill -{number} $$; sleep 9")
        assert (outcome.error_code, outcome.retryable) == (ErrorCode.EXIT_CODE, True)
        assert outcome.result
        assert (outcome.result["exitCode"], outcome.result["signal"]) == (None, name)
        assert name in (outcome.error_message or "")

    def test_a_program_that_is_not_there_fails_as_in_a_shell(self, executor: ShellExecutor) -> None:
        path = {"PATH": "/usr/bin:/bin"}  # ours may have directories that we must not look into
        outcome = executor.execute(execution({"argv": ["no-such-program", "x"], "environment": path}))
        assert (outcome.error_code, outcome.retryable) == (ErrorCode.EXIT_CODE, True)
        assert outcome.error_message == "cannot run 'no-such-program': no such program in PATH (/usr/bin:/bin)"
        assert outcome.result
        assert outcome.result["exitCode"] == 127

    def test_a_file_that_is_no_program_fails_as_in_a_shell(self, executor: ShellExecutor) -> None:
        outcome = executor.execute(execution({"argv": ["/etc/passwd"]}))
        assert outcome.error_code is ErrorCode.EXIT_CODE
        assert outcome.result
        assert outcome.result["exitCode"] == 126

    def test_a_working_directory_that_is_not_there_fails(self, run: Callable[..., Outcome]) -> None:
        outcome = run("true", workingDirectory="/no/such")
        assert (outcome.error_code, outcome.retryable) == (ErrorCode.TASK_FAILED, True)
        assert outcome.error_message == ("cannot enter workingDirectory '/no/such': it does not exist on this worker")

    def test_a_script_for_a_missing_interpreter_says_so(
        self, executor: ShellExecutor, run: Callable[..., Outcome], tmp_path: Path
    ) -> None:
        script = tmp_path / "job"
        script.write_bytes(b"#!/bin/sh\r\necho hi\r\n")
        script.chmod(0o755)
        outcome = executor.execute(execution({"argv": ["./job"], "workingDirectory": str(tmp_path)}))
        assert "its interpreter '/bin/sh\\r' is missing; the line ends as Windows" in (outcome.error_message or "")
        assert outcome.result
        assert outcome.result["exitCode"] == 127
        assert "or the interpreter of a script" in (run(str(script)).error_message or "")

    @pytest.mark.parametrize(
        ("program", "lines", "environment"),
        [
            ("/bin/bash", "#!/bin/bash\ntrue\n", {"BASH_ENV": "{trap}"}),
            ("/usr/bin/perl", "#!/usr/bin/perl\n", {"PERL5OPT": "-I{folder} -MTrap"}),
            (sys.executable, f"#!{sys.executable}\n", {"PYTHONPATH": "{folder}", "PYTHONSTARTUP": "{trap}"}),
            ("/bin/sh", "#!/bin/sh\ntool\n", {"PATH": "{folder}"}),
        ],
    )
    def test_no_variable_turns_a_listed_program(
        self, make: Callable[..., ShellExecutor], tmp_path: Path, program: str, lines: str, environment: dict[str, str]
    ) -> None:
        """The same task without a list springs the trap, where the program is there: the trap works."""
        sprung, trap = tmp_path / "sprung", tmp_path / "tool"
        trap.write_text(f"#!/bin/sh\n: > {sprung}\n")
        trap.chmod(0o755)
        (tmp_path / "Trap.pm").write_text(f"open F, '>', '{sprung}'; 1;")
        (tmp_path / "sitecustomize.py").write_text(f"open({str(sprung)!r}, 'w').close()")
        job = tmp_path / "job"
        job.write_text(lines)
        job.chmod(0o755)
        values = {name: value.format(trap=trap, folder=tmp_path) for name, value in environment.items()}
        payload = {"argv": [str(job)], "environment": values}
        make().execute(execution(payload))
        assert sprung.exists() == Path(program).exists()
        sprung.unlink(missing_ok=True)
        outcome = make(SHELL_ALLOWED_COMMANDS=str(job)).execute(execution(payload))
        assert (outcome.error_code, outcome.retryable) == (ErrorCode.TASK_FAILED, False)
        assert not sprung.exists()

    def test_a_listed_name_is_not_found_in_the_working_directory(
        self, make: Callable[..., ShellExecutor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "date").write_text("#!/bin/sh\necho forged\n")
        (tmp_path / "date").chmod(0o755)
        monkeypatch.setenv("PATH", ".:/usr/bin:/bin")
        payload = {"argv": ["date"], "workingDirectory": str(tmp_path)}
        free = make().execute(execution(payload)).result or {}
        listed = make(SHELL_ALLOWED_COMMANDS="date").execute(execution(payload)).result or {}
        assert (free["stdout"] == "forged\n", listed["stdout"] == "forged\n") == (True, False)

    def test_a_child_that_holds_the_pipes_delays_nothing(self, run: Callable[..., Outcome], mark: str) -> None:
        began = time.monotonic()
        outcome = run(f"sleep {mark} & echo done")
        assert time.monotonic() - began < 2
        assert outcome.result
        assert outcome.result["stdout"] == "done\n"
        assert not alive(mark)

    def test_a_setsid_grandchild_dies_with_it(self, run: Callable[..., Outcome], mark: str) -> None:
        escape = f"(setsid sh -c 'trap \"\" TERM HUP; sleep {mark} & sleep {mark}' >/dev/null 2>&1 &)"
        assert run(f"{escape}; {escape}; exit 3").error_code is ErrorCode.EXIT_CODE
        assert not alive(mark)

    def test_it_is_over_however_fast_it_forks(self, run: Callable[..., Outcome], mark: str) -> None:
        outcome = run(f"while true; do setsid sleep {mark} & done", seconds=0.3)
        assert outcome.status is ExecutionStatus.TIMED_OUT
        eventually(lambda: not alive(mark))

    def test_eight_at_once_keep_their_output_apart(self, executor: ShellExecutor) -> None:
        def echo(number: int) -> str:
            outcome = executor.execute(execution({"argv": ["echo", str(number)]}))
            assert outcome.result
            return str(outcome.result["stdout"])

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(echo, range(80))) == [f"{number}\n" for number in range(80)]


class TestOutput:
    def test_is_bounded_in_memory_and_keeps_head_and_tail(self, run: Callable[..., Outcome]) -> None:
        tracemalloc.start()
        try:
            outcome = run("echo first; head -c 200000000 /dev/zero; echo last; echo err >&2")
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
        finally:
            tracemalloc.stop()
        assert outcome.result
        text = outcome.result["stdout"]
        assert outcome.result["stdoutTruncated"]
        assert not outcome.result["stderrTruncated"]
        assert len(text.encode()) <= LIMIT
        assert (text[:6], text[-6:]) == ("first\n", "\ufffdlast\n")

    def test_bytes_that_are_no_text_and_nul_become_replacement_characters(self, run: Callable[..., Outcome]) -> None:
        outcome = run(r"printf 'a\377\000b' ; printf '\303\274' >&2")
        assert outcome.result
        assert (outcome.result["stdout"], outcome.result["stderr"]) == ("a\ufffd\ufffdb", "ü")

    def test_of_a_stopped_attempt_is_kept(self, run: Callable[..., Outcome]) -> None:
        outcome = run("echo begun; sleep 60", seconds=0.3)
        assert outcome.result
        assert outcome.result["stdout"] == "begun\n"

    def test_is_complete_when_the_end_is_told_before_it_was_read(
        self, run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        listen = shell_process.Watch._listen

        def listen_late(watch: shell_process.Watch) -> None:
            eventually(lambda: watch._control.recv(4096, socket.MSG_PEEK).count(b"\n") == 2)
            listen(watch)

        monkeypatch.setattr(shell_process.Watch, "_listen", listen_late)
        outcome = run("seq 5000")
        assert outcome.result
        assert outcome.result["stdout"].endswith("\n4999\n5000\n")

    def test_still_comes_when_one_stream_is_closed_early(self, run: Callable[..., Outcome]) -> None:
        outcome = run("exec >&-; sleep 0.1; echo late >&2")
        assert outcome.result
        assert outcome.result["stderr"] == "late\n"


class TestStop:
    def test_cancel_ends_the_whole_group_at_once(self, make: Callable[..., ShellExecutor], mark: str) -> None:
        executor = make(grace=timedelta(seconds=5))
        running = Running(executor, execution({"command": f"sleep {mark} & sleep {mark} & wait"}))
        eventually(lambda: len(alive(mark)) == 3)  # the shell has it in its arguments too
        running.execution.stop(StopReason.CANCEL)
        outcome = running.outcome(within=2)
        assert (outcome.status, outcome.error_code) == (ExecutionStatus.CANCELLED, ErrorCode.CANCELLED)
        assert outcome.result
        assert outcome.result["signal"] == "SIGTERM"
        assert not alive(mark)

    def test_what_ignores_term_is_killed_after_the_grace(self, start: Callable[..., Running], mark: str) -> None:
        running = start(f"trap '' TERM; sleep {mark} & setsid sleep {mark} & wait; wait; sleep {mark}")
        eventually(lambda: len(alive(mark)) == 3)
        began = time.monotonic()
        running.execution.stop(StopReason.CANCEL)
        outcome = running.outcome(within=2)
        assert time.monotonic() - began >= GRACE.total_seconds()
        assert outcome.status is ExecutionStatus.CANCELLED
        assert outcome.result
        assert outcome.result["signal"] == "SIGKILL"
        assert not alive(mark)

    def test_the_program_under_a_shell_has_the_grace_for_a_clean_end(
        self, make: Callable[..., ShellExecutor], tmp_path: Path
    ) -> None:
        executor = make(grace=timedelta(seconds=5))
        inner = f"trap 'sleep 0.1; echo cleaned; exit' TERM; touch {tmp_path}/ready; while :; do sleep 0.05; done"
        running = Running(executor, execution({"command": f'sh -c "{inner}"; true'}))
        eventually((tmp_path / "ready").exists)
        running.execution.stop(StopReason.CANCEL)
        outcome = running.outcome(within=2)
        assert outcome.result
        assert (outcome.result["signal"], outcome.result["stdout"]) == ("SIGTERM", "cleaned\n")

    def test_exit_0_on_term_is_no_success(self, start: Callable[..., Running], tmp_path: Path) -> None:
        running = start(f"trap 'exit 0' TERM; touch {tmp_path}/ready; while :; do sleep 0.05; done")
        eventually((tmp_path / "ready").exists)
        running.execution.stop(StopReason.CANCEL)
        outcome = running.outcome(within=2)
        assert outcome.status is ExecutionStatus.CANCELLED
        assert outcome.result
        assert outcome.result["exitCode"] == 0

    def test_it_succeeds_when_it_had_ended_before_the_stop(self, start: Callable[..., Running], tmp_path: Path) -> None:
        pids, go = tmp_path / "pids", tmp_path / "go"
        running = start(f"echo $$ $PPID > {pids}; until [ -e {go} ]; do sleep 0.01; done")
        leader, shepherd = eventually(lambda: pids.exists() and [int(pid) for pid in pids.read_text().split()])
        os.kill(shepherd, signal.SIGSTOP)
        eventually(lambda: state(shepherd) == "T")
        go.touch()
        eventually(lambda: state(leader) == "Z")
        running.execution.stop(StopReason.CANCEL)
        os.kill(shepherd, signal.SIGCONT)
        assert running.outcome(within=2).status is ExecutionStatus.SUCCESS

    def test_the_deadline_ends_it(self, run: Callable[..., Outcome], mark: str) -> None:
        began = time.monotonic()
        outcome = run(f"sleep {mark}", seconds=0.2)
        assert 0.2 <= time.monotonic() - began < 1
        assert (outcome.status, outcome.error_code) == (ExecutionStatus.TIMED_OUT, ErrorCode.TIMED_OUT)
        assert outcome.retryable
        assert not alive(mark)

    @pytest.mark.parametrize("asked_before", [False, True])
    def test_an_immediate_release_asks_nobody(
        self, make: Callable[..., ShellExecutor], monkeypatch: pytest.MonkeyPatch, mark: str, asked_before: bool
    ) -> None:
        monkeypatch.setattr(shell_process, "_REPORT_SECONDS", 60)  # nobody gives up: the shepherd has to obey
        executor = make(grace=timedelta(seconds=60))
        running = Running(executor, execution({"command": f"trap '' TERM; sleep {mark}; sleep {mark}"}))
        eventually(lambda: len(alive(mark)) == 2)
        if asked_before:
            running.execution.stop(StopReason.RELEASE)
        running.execution.stop(StopReason.RELEASE, immediate=True)
        assert running.outcome(within=2).status is ExecutionStatus.RELEASED
        assert not alive(mark)

    def test_a_stop_after_the_end_does_nothing(self, executor: ShellExecutor) -> None:
        work = execution({"command": "true"})
        assert executor.execute(work).status is ExecutionStatus.SUCCESS
        work.stop(StopReason.CANCEL, immediate=True)


class TestSight:
    """What the program gets to see, and what it must not."""

    def test_its_environment_is_the_white_list_the_payload_and_the_attempt(
        self, executor: ShellExecutor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("DATABASE_URL", "SECRET_KEY", "PATHS", "LD_LIBRARY_PATH", "PYTHONPATH", "USER"):
            monkeypatch.setenv(name, "secret")
        for name in ("HOME", "LANG", "LC_TIME", "TZ", "TMPDIR"):
            monkeypatch.setenv(name, "/tmp")
        work = execution({"argv": ["/usr/bin/env"], "environment": {"TZ": "UTC", "TASK_ID": "forged", "A": "ü"}})
        outcome = executor.execute(work)
        assert outcome.result
        seen = dict(line.split("=", 1) for line in outcome.result["stdout"].splitlines())
        assert {name for name in seen if not name.startswith("LC_")} == {
            "PATH", "HOME", "LANG", "TZ", "TMPDIR", "A", "TASK_ID", "TASK_ATTEMPT", "TASK_CORRELATION_ID",
        }  # fmt: skip
        assert (seen["TZ"], seen["A"], seen["LC_TIME"], seen["PATH"]) == ("UTC", "ü", "/tmp", os.environ["PATH"])
        assert (seen["TASK_ID"], seen["TASK_ATTEMPT"]) == (str(work.task_id), "3")
        assert seen["TASK_CORRELATION_ID"] == "corr-1"

    def test_it_is_told_the_time_of_the_schedule_it_was_made_for(self, executor: ShellExecutor) -> None:
        work = execution({"argv": ["/usr/bin/env"], "environment": {"SCHEDULED_FOR": "forged"}})
        work.scheduled_for = datetime(2026, 3, 29, 2, 30, tzinfo=timezone(timedelta(hours=1)))
        outcome = executor.execute(work)
        assert outcome.result
        assert "SCHEDULED_FOR=2026-03-29T01:30:00.000000Z" in outcome.result["stdout"].splitlines()

    def test_it_has_default_signals_no_input_and_no_other_descriptors(self, run: Callable[..., Outcome]) -> None:
        outcome = run("grep -E 'Sig(Ign|Blk)' /proc/self/status; readlink /proc/self/fd/0; ls /proc/self/fd")
        assert outcome.result
        ignored, blocked, stdin, *descriptors = outcome.result["stdout"].split("\n")[:-1]
        own = 0b11 << 31  # signals 32 and 33 are the C library's own: no program can choose their mask
        assert [int(line.split()[1], 16) & ~own for line in (blocked, ignored)] == [0, 0]
        assert (stdin, descriptors) == ("/dev/null", ["0", "1", "2", "3"])  # 3 is the directory that ls reads

    def test_no_process_within_reach_shows_a_secret_of_the_worker(self, mark: str) -> None:
        secret = uuid4().hex
        look = (
            f"cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c {secret}; cat /proc/$PPID/environ; true"
        )
        # Without the capability that we take from tasks, only hiding protects a worker: it does so when it starts.
        arguments = [] if may_ptrace() else ["hidden"]
        with worker(look, *arguments, env={"DB_PASSWORD": secret}) as process:
            assert process.stdout
            assert process.stdout.read() == "None None 0\n"

    if os.geteuid() == 0:  # otherwise: the launcher hides itself from others

        def test_the_launcher_was_given_no_environment(
            self, executor: ShellExecutor, run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
        ) -> None:
            monkeypatch.setenv("DB_PASSWORD", "secret")
            monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/lib")
            run("true")
            assert Path(f"/proc/{executor.launcher.pid}/environ").read_text() == "LD_LIBRARY_PATH=/opt/lib\0"

    if os.geteuid() != 0:  # otherwise: nothing hides from root's capabilities

        def test_the_launcher_hides_itself(self, executor: ShellExecutor, run: Callable[..., Outcome]) -> None:
            run("true")
            with pytest.raises(PermissionError):
                Path(f"/proc/{executor.launcher.pid}/environ").read_text()

    if os.geteuid() == 0:  # otherwise: others have no capabilities

        def test_root_cannot_read_the_memory_of_others(self) -> None:
            with worker("grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status", "inheritable") as process:
                assert process.stdout
                sets = [int(line.split()[-1], 16) for line in process.stdout]
            assert len(sets) == 5
            assert not any(capabilities & 1 << prying for capabilities in sets for prying in PRYING_CAPABILITIES)


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


HOST = """
import ctypes, os, sys, time
from datetime import timedelta
from uuid import uuid4
from tasks_app import conf
from tasks_app.executors.base import Execution
from tasks_app.executors.shell import ShellExecutor
from tasks_app.executors.kernel import PRYING_CAPABILITIES
if "hidden" in sys.argv:
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
if "inheritable" in sys.argv:
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capget(header, sets) == 0
    sets[2], sets[5] = sets[1], sets[4]
    assert ctypes.CDLL(None).capset(header, sets) == 0
payload = {"command": sys.stdin.read()}
work = Execution(uuid4(), 1, "SHELL", payload, timedelta(seconds=30), "c", deadline=time.monotonic() + 30)
outcome = ShellExecutor(config=conf.load(os.environ)).execute(work)
print(outcome.error_code, outcome.error_message, outcome.result["stdout"], end="")
"""


def worker(command: str, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """A process that runs one SHELL attempt and prints how it ended."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOST, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    with process.stdin:
        process.stdin.write(command)  # not an argument: only the task's processes shall bear the mark
    return process


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def ended(pid: int) -> bool:
    """Whether it is gone, or dead and not yet buried by whoever has to."""
    try:
        return state(pid) == "Z"
    except FileNotFoundError:
        return True


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def may_ptrace() -> bool:
    """Whether this process has CAP_SYS_PTRACE, which the executor takes from tasks."""
    effective = Path("/proc/self/status").read_text().partition("CapEff:\t")[2].split()[0]
    return bool(int(effective, 16) & 1 << 19)


def kill_and_wait(executor: ShellExecutor) -> None:
    pid = executor.launcher.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: state(pid) == "Z")
