"""SHELL attempts with real processes: how they end, and that nothing of them stays."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import uuid4

import pytest

from tasks_app.executors import shell_process
from tasks_app.executors.base import Outcome, StopReason
from tasks_app.executors.capture import LIMIT
from tasks_app.executors.kernel import PRYING_CAPABILITIES
from tasks_app.executors.shell import ShellExecutor
from tasks_app.states import ErrorCode, ExecutionStatus
from tests.support.shell_tasks import (
    GRACE,
    Running,
    alive,
    execution,
    may_ptrace,
    state,
    worker,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, and needs a subreaper")


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
