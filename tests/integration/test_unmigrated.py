"""A database that is not migrated yet: every command says so in one line, or waits; and four may migrate at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import call_command, get_commands
from django.core.management.base import CommandError
from django.db import OperationalError
from django.db.migrations.recorder import MigrationRecorder

from access_app.management import base
from monitoring_app import health
from tests.support.stack import Stack, database_url, running_stack
from tests.support.waiting import eventually

#: Those that need no tables, or make them.
NEED_NONE = {"migrate", "embedded_db", "config", "quickstart"}
#: What each must be given so that it gets as far as its first look at the database.
ARGUMENTS = {
    "createapikey": ("x", "--scopes", "admin"),
    "apikey": ("list",),
    "importcrontab": (os.devnull, "--dry-run"),
    "runall": ("--no-web",),
    "runweb": ("--fd", "0"),
}
OUR_APPS = {app.name for app in apps.get_app_configs() if Path(app.path).parent == settings.BASE_DIR}
OURS = {name for name, app in get_commands().items() if app in OUR_APPS}


def manage(url: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments],
        env={**os.environ, "DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class TestEveryCommand:
    def test_is_known_here(self) -> None:
        assert {"runscheduler", "runworker", "runall", "recover", "doctor", "createapikey"} <= OURS - NEED_NONE

    @pytest.mark.parametrize("command", sorted(OURS - NEED_NONE - {"doctor"}))
    def test_says_in_one_line_what_to_run(self, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(base, "pending_migrations", lambda: ["tasks_app.0001_initial"])
        with pytest.raises(CommandError) as refused:
            call_command(command, *ARGUMENTS.get(command, ()))
        assert refused.value.returncode == 2
        assert str(refused.value) == "1 migrations are not applied: run `python manage.py migrate`"

    def test_but_the_web_process_goes_on_without_a_database(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its probes say what is wrong, as they do when the database goes away later."""

        class Became(Exception):
            pass

        def become(*_: object) -> None:
            raise Became

        def away() -> list[str]:
            raise OperationalError("connection refused")

        monkeypatch.setattr(base, "pending_migrations", away)
        monkeypatch.setattr("os.set_inheritable", lambda *_: None)
        monkeypatch.setattr("os.execve", become)
        with pytest.raises(Became):
            call_command("runweb", "--fd", "0")

    def test_doctor_looks_no_further(self, fresh: str) -> None:
        doctor = manage(fresh, "doctor")
        out, _ = doctor.communicate(timeout=60)
        assert doctor.returncode == 2
        assert [line.split()[1] for line in out.splitlines() if not line.startswith(" ")] == [
            "connection",
            "migrations",
        ]


class TestDatabaseOfAnEarlierCommit:
    """Its migrations no longer exist: no `migrate` can mend it, so nothing may say that one could."""

    @pytest.fixture
    def made_before(self, fresh: str) -> str:
        with psycopg.connect(fresh, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE django_migrations (id bigserial PRIMARY KEY, app text, name text, applied timestamptz)"
            )
            connection.execute(
                "INSERT INTO django_migrations (app, name, applied)"
                " VALUES ('tasks_app', '0001_initial', now()), ('tasks_app', '0002_storage', now())"
            )
        return fresh

    @pytest.mark.parametrize(
        "command", ["migrate", "doctor", pytest.param("runscheduler", marks=pytest.mark.chaos_long)]
    )
    def test_is_refused_with_the_way_out(self, made_before: str, command: str) -> None:
        refused = manage(made_before, command)
        out, said = refused.communicate(timeout=60)
        assert refused.returncode == 2
        assert "made by a commit from before the first release" in out + said
        assert "embedded_db stop --remove" in out + said
        assert "manage.py migrate" not in out + said
        assert "Traceback" not in said

    def test_is_not_ready(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(health, "_migrated", False)
        monkeypatch.setattr(MigrationRecorder, "applied_migrations", lambda _: {("tasks_app", "0002_storage"): None})
        assert "use a new database" in health._migrations().facts["error"]


class TestWaiting:
    @pytest.mark.parametrize("many", [2, pytest.param(4, marks=pytest.mark.chaos_long)])
    def test_ends_when_somebody_migrates(self, committed_db: None, tmp_path: Path, fresh: str, many: int) -> None:
        with running_stack(tmp_path, DATABASE_URL=fresh) as stack:
            waiting = [stack.start(name, "--wait-for-migrations") for name in ("runscheduler", "runworker")]
            eventually(lambda: self.count(stack, "waiting_for_migrations") == 2, timeout=30)
            at_once = [manage(fresh, "migrate") for _ in range(many)]
            told = [migrate.communicate(timeout=100) for migrate in at_once]
            assert [migrate.returncode for migrate in at_once] == [0] * many, told
            assert sum("No migrations to apply" in out for out, _ in told) == many - 1
            eventually(
                lambda: self.count(stack, "scheduler_started") and self.count(stack, "worker_registered"), timeout=30
            )
            assert [stack.stop(process) for process in waiting] == [0, 0]
            assert "Traceback" not in stack.log.read_text()

    @pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.chaos_long)])
    def test_can_be_ended(self, tmp_path: Path, fresh: str, committed_db: None, number: signal.Signals) -> None:
        with running_stack(tmp_path, DATABASE_URL=fresh) as stack:
            process = stack.start("runscheduler", "--wait-for-migrations")
            eventually(lambda: self.count(stack, "waiting_for_migrations"), timeout=30)
            process.send_signal(number)
            assert process.wait(10) == 0

    def count(self, stack: Stack, event: str) -> int:
        return stack.log.read_text().count(event) if stack.log.exists() else 0


def test_migrate_says_what_it_waits_for(committed_db: None) -> None:
    from scheduler_project.management.commands.migrate import LOCK

    with psycopg.connect(database_url()) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        process = manage(database_url(), "migrate")
        assert process.stderr is not None
        assert process.stderr.readline() == "Another migrate is running: waiting for it.\n"
        other.rollback()
        _, rest = process.communicate(timeout=60)
    assert (process.returncode, rest) == (0, "")
