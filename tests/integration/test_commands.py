"""The commands as an operator meets them: settings checked at start, exit statuses, stopping."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command, get_commands, load_command_class

from scheduler_project.__main__ import UNREAD, main
from tasks_app import services
from tasks_app.fields import NewTask
from tasks_app.sessions import Session
from tests.support.engine import Engine
from tests.support.processes import memory_of_family
from tests.support.stack import Stack, database_url, ended, query, running_stack
from tests.support.waiting import eventually

#: Settings are read before a command is: one is tried, and `make chaos` tries the rest.
#: MB, shared pages counted once: 66 were measured of a worker with its guardian, 57 of a scheduler.
MOST_MEMORY = 90
COMMANDS = ["runworker"] + [
    pytest.param(name, marks=pytest.mark.chaos_long)
    for name in ("migrate", "runscheduler", "runall", "recover", "doctor", "embedded_db")
]


@pytest.fixture
def stack(committed_db: None, from_a_terminal: None, tmp_path: Path) -> Iterator[Stack]:
    with running_stack(tmp_path) as started:
        yield started


def manage(*arguments: str, only: dict[str, str] | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments],
        env={**(os.environ if only is None else only), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def typed(command: str, *arguments: str) -> None:
    """A command of the workers as from a command line, but in this process."""
    load_command_class("workers_app", command).run_from_argv(["manage.py", command, *arguments])


@pytest.fixture(scope="module")
def shown() -> subprocess.CompletedProcess[str]:
    return manage("config", "show", "--json", PORT="9000", SECRET_KEY="hush-hush", WORKER_HEARTBEAT_TIMEOUT="9")


class TestSettings:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_a_bad_one_is_named_without_a_traceback(self, command: str) -> None:
        done = manage(command, SCHEDULER_POLLING_INTERVAL_MS="soon", LOG_FORMAT="xml")
        assert done.returncode == 2
        lines = done.stderr.splitlines()
        assert [line.split(":")[0] for line in lines] == ["SCHEDULER_POLLING_INTERVAL_MS", "LOG_FORMAT"]

    def test_the_prod_profile_refuses_what_is_unsafe(self) -> None:
        done = manage("runworker", SCHEDULER_PROFILE="prod", DEBUG="1")
        assert done.returncode == 2
        assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["SECRET_KEY", "DEBUG", "ALLOWED_HOSTS"]

    def test_the_prod_profile_never_starts_a_database(self, tmp_path: Path) -> None:
        """A slip in DATABASE_URL must not lead to another database; elsewhere it is refused too, and named."""
        environment = {name: text for name, text in os.environ.items() if name != "DATABASE_URL"}
        environment |= {"EMBEDDED_DATA_DIR": str(tmp_path / "pg"), "DATABSE_URL": "postgresql://db/x"}
        prod = {"SCHEDULER_PROFILE": "prod", "SECRET_KEY": secrets.token_urlsafe(48), "ALLOWED_HOSTS": "a.example"}
        for profile, named in ((prod, ["DATABASE_URL", "DATABSE_URL"]), ({}, ["DATABSE_URL"])):
            done = manage("doctor", only=environment | profile)
            assert done.returncode == 2
            assert [line.split(":")[0] for line in done.stderr.splitlines()] == named
            assert done.stderr.endswith("DATABSE_URL: is not known: did you mean DATABASE_URL?\n")
        assert not (tmp_path / "pg").exists()

    def test_an_unknown_variable_is_warned_of(self, shown: subprocess.CompletedProcess[str]) -> None:
        assert shown.returncode == 0
        assert "unknown_variable" in shown.stderr
        assert "nearest=WORKER_HEARTBEAT_TIMEOUT_MS" in shown.stderr

    def test_config_shows_each_with_its_source(self, shown: subprocess.CompletedProcess[str]) -> None:
        rows = {row["name"]: (row["value"], row["source"]) for row in json.loads(shown.stdout)}
        assert rows["PORT"] == ("9000", "environment")
        assert rows["WEB_WORKERS"] == ("2", "default")
        assert "hush" not in shown.stdout

    def test_config_shows_people_no_secret_either(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("SECRET_KEY", "hush-hush")
        call_command("config", "show")
        out = capsys.readouterr().out
        assert "SECRET_KEY" in out
        assert "hush" not in out

    def test_the_version_is_ours(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert manage("version").stdout == f"{settings.VERSION}\n"
        with pytest.raises(SystemExit):
            typed("runworker", "--version")
        assert capsys.readouterr().out == f"{settings.VERSION}\n"

    @pytest.mark.parametrize(
        ("command", "switch"), [("runworker", "WORKER_ENABLED"), ("runscheduler", "SCHEDULER_ENABLED")]
    )
    def test_a_process_that_is_switched_off_says_so_and_ends_well(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, switch: str
    ) -> None:
        monkeypatch.setattr(settings, "SCHEDULER", replace(settings.SCHEDULER, **{switch.lower(): False}))
        typed(command)
        assert capsys.readouterr().err == f"{switch} is false: no {command.removeprefix('run')} started\n"

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--concurrency", "0"),
            ("--concurrency", "many"),
            ("--queues", "a b"),
            ("--labels", "x"),
            ("--grace", "-1"),
            ("--processes", "0"),
        ],
    )
    def test_a_bad_argument_is_named(self, arguments: tuple[str, ...]) -> None:
        parser = load_command_class("workers_app", "runworker").create_parser("manage.py", "runworker")
        with pytest.raises(CommandError, match=f"argument {arguments[0]}: "):
            parser.parse_args(arguments)

    def test_a_bad_argument_ends_the_process(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            typed("runworker", "--concurrency", "many")
        assert ended.value.code == 2
        assert "--concurrency" in capsys.readouterr().err


def local_offset(zone: str | None) -> str:
    """What `date +%z` prints there at this hour, or without any TZ; by a program that does not import Django."""
    environment = {"PATH": os.environ["PATH"]} | ({} if zone is None else {"TZ": zone})
    return subprocess.run(["date", "+%z"], env=environment, capture_output=True, text=True, check=True).stdout.strip()


class TestStopping:
    @pytest.mark.parametrize(
        ("command", "number"),
        [
            ("runscheduler", signal.SIGTERM),
            ("runworker", signal.SIGINT),
            pytest.param("runscheduler", signal.SIGINT, marks=pytest.mark.chaos_long),
            pytest.param("runworker", signal.SIGTERM, marks=pytest.mark.chaos_long),
        ],
    )
    def test_ends_with_0(self, stack: Stack, command: str, number: signal.Signals) -> None:
        table = "worker_heartbeats" if command == "runworker" else "scheduler_heartbeats"
        process = stack.start(command)
        eventually(lambda: query(f"SELECT 1 FROM {table}"), timeout=20)
        _, proportional = memory_of_family(process.pid)
        assert proportional < MOST_MEMORY  # of a scheduler, or of a worker with its guardian, who share most of theirs
        process.send_signal(number)
        assert process.wait(15) == 0

    def test_no_signal_loses_a_running_task_or_its_time_zone(self, stack: Stack, tmp_path: Path) -> None:
        """Each worker runs one task when its signal comes; each was started in a zone of its own, or in none."""
        workers = {"HUP": "Europe/Berlin", "QUIT": "Asia/Kolkata", "USR1": "", "ALRM": None}
        scheduler, processes, go = stack.scheduler(), {}, tmp_path / "go"
        stack.environment.pop("TZ", None)
        with closing(Session("test")) as session:
            for name, zone in workers.items():
                command = f": > {tmp_path}/{name}; until [ -e {go} ]; do sleep 0.02; done; echo ${{TZ-none}}; date +%z"
                Engine(session).create(type="SHELL", queue=name, payload={"command": command})
                variables = {} if zone is None else {"TZ": zone}
                processes[name] = stack.start("runworker", "--queues", name, "--concurrency", "1", **variables)
        for name, process in processes.items():
            eventually((tmp_path / name).exists, timeout=30)
            process.send_signal(getattr(signal, f"SIG{name}"))
        eventually(lambda: stack.log.read_text().count("worker_draining") == len(workers), timeout=10)
        scheduler.send_signal(signal.SIGHUP)
        go.touch()
        assert [process.wait(20) for process in (*processes.values(), scheduler)] == [0] * 5
        rows = query(
            "SELECT t.queue, e.status, e.result->>'stdout' FROM task_executions e JOIN tasks t ON t.id = e.task_id"
        )
        assert {queue: (status, *out.splitlines()) for queue, status, out in rows} == {
            "HUP": ("SUCCESS", "Europe/Berlin", local_offset("Europe/Berlin")),
            "QUIT": ("SUCCESS", "Asia/Kolkata", "+0530"),
            "USR1": ("SUCCESS", "", "+0000"),
            "ALRM": ("SUCCESS", "none", local_offset(None)),
        }

    def test_runall_starts_all_again_what_crashed_too_and_stops_them(self, stack: Stack) -> None:
        process = stack.start("runall", "--no-web", "--workers", "2", "--schedulers", "2")
        first = eventually(lambda: len(found := stack.active_workers()) == 2 and found, timeout=30)
        eventually(lambda: len(query("SELECT 1 FROM scheduler_heartbeats")) == 2, timeout=30)
        killed = min(first)
        [(pid,)] = query("SELECT pid FROM worker_heartbeats WHERE worker_id = %s", killed)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: stack.active_workers() - first, timeout=30)
        process.send_signal(signal.SIGHUP)  # its terminal was closed
        assert process.wait(30) == 0
        states = query("SELECT DISTINCT state FROM worker_heartbeats WHERE worker_id <> %s", killed)
        assert states == [("STOPPED",)]

    def test_a_worker_of_several_processes_starts_and_stops_all(self, stack: Stack) -> None:
        process = stack.start("runworker", "--processes", "2", "--concurrency", "3", "--grace", "5")
        eventually(lambda: len(stack.active_workers()) == 2, timeout=30)
        assert query("SELECT DISTINCT slots FROM worker_heartbeats") == [(3,)]
        assert stack.stop(process) == 0
        assert query("SELECT DISTINCT state FROM worker_heartbeats") == [("STOPPED",)]

    def test_a_burst_of_several_processes_ends_when_nothing_is_left(self, stack: Stack) -> None:
        assert stack.start("runworker", "--processes", "2", "--burst").wait(30) == 0
        assert query("SELECT state FROM worker_heartbeats") == [("STOPPED",)] * 2

    def test_a_worker_that_never_reached_the_database_stops_too(self, stack: Stack) -> None:
        process = stack.start("runworker", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
        eventually(lambda: stack.log.exists() and "database_away" in stack.log.read_text(), timeout=20)
        assert stack.stop(process, timeout=15) == 0


class TestWithoutWakeUps:
    def test_tasks_start_within_one_poll_interval(self, stack: Stack) -> None:
        polling = {"DIRECT_DATABASE_URL": "off", "SCHEDULER_POLLING_INTERVAL_MS": "1000"}
        stack.scheduler(**polling)
        stack.worker(**polling, WORKER_HEARTBEAT_INTERVAL_MS="2000", WORKER_HEARTBEAT_TIMEOUT_MS="15000")
        for count in range(1, 4):
            services.create_task(NewTask(type="DUMMY", payload={}), created_by="test")
            eventually(lambda count=count: ended() == count, timeout=20)  # type: ignore[misc]
        [(longest,)] = query("SELECT max(extract(epoch FROM started_at - created_at))::float8 FROM tasks")
        assert longest <= 1.0


class TestReports:
    def test_doctor_names_what_is_missing_and_what_to_do(self, committed_db: None) -> None:
        done = manage("doctor", DATABASE_URL=database_url())
        assert done.returncode == 1
        red = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("RED")]
        assert red == ["schedulers", "workers"]
        assert "start `python manage.py runworker`" in done.stdout

    def test_doctor_is_green_on_a_running_system(self, stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
        stack.scheduler()
        stack.worker()
        eventually(lambda: query("SELECT 1 FROM scheduler_heartbeats"), timeout=20)
        with pytest.raises(SystemExit) as ended:
            call_command("doctor")
        assert ended.value.code == 0, capsys.readouterr().out

    def test_doctor_prints_json(self, committed_db: None, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            call_command("doctor", "--json")
        assert ended.value.code == 1
        report = json.loads(capsys.readouterr().out)
        assert report["ok"] is False
        red = {finding["name"]: finding["advice"] for finding in report["findings"] if not finding["ok"]}
        assert red.keys() == {"schedulers", "workers"}
        assert all(red.values())

    def test_doctor_without_a_database_says_so(self) -> None:
        done = manage("doctor", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
        assert done.returncode == 1
        assert done.stdout.startswith("RED  connection")

    def test_recover_prints_its_report_as_json(self, committed_db: None, capsys: pytest.CaptureFixture[str]) -> None:
        call_command("recover")
        assert json.loads(capsys.readouterr().out)["invariants"] == {"ok": True, "violations": {}}


class TestUnread:
    """Whatever prints to a pipe that nobody reads any more ends as other programs do, without a traceback."""

    @pytest.mark.parametrize(
        "arguments",
        [["config", "show"], ["version"], *([name, "--help"] for name in sorted(get_commands()))],
        ids=" ".join,
    )
    def test_ends_quietly(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
    ) -> None:
        reads, writes = os.pipe()
        os.close(reads)
        with open(writes, "w", buffering=1) as unread:  # noqa: PTH123 - of a descriptor
            monkeypatch.setattr("sys.stdout", unread)
            monkeypatch.setattr("sys.argv", ["manage.py", *arguments])
            with pytest.raises(SystemExit) as end:
                main()
        assert end.value.code == UNREAD
        assert capsys.readouterr().err == ""

    def test_is_no_other_pipe(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def other(_: list[str]) -> None:
            raise BrokenPipeError

        monkeypatch.setattr("django.core.management.execute_from_command_line", other)
        with open(os.devnull, "w") as read:  # noqa: PTH123
            monkeypatch.setattr("sys.stdout", read)
            monkeypatch.setattr("sys.argv", ["manage.py", "config", "show"])
            with pytest.raises(BrokenPipeError):
                main()
