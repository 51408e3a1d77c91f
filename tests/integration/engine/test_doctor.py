"""Table health as the doctor sees it: each condition is made true, and the line turns red and says what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from access_app.database_faults import DatabaseAway
from access_app.keys import NEVER, create_key, find_key, revoke_key
from tasks_app import conf
from tasks_app.sessions import Session
from tests.support import vacuum
from tests.support.engine import Engine
from tests.support.races import transaction
from tests.support.schedules import make_schedule
from tests.support.stack import query
from tests.support.waiting import eventually
from workers_app.doctor import Finding, tables
from workers_app.doctor.database import how_to_connect
from workers_app.doctor.report import CHECKS, examine
from workers_app.doctor.tables import Holder

OpenSession = Callable[[], Session]


def look(session: Session, name: str) -> Finding:
    return CHECKS[name](session)


@pytest.fixture
def no_autovacuum(session: Session) -> Iterator[None]:
    with vacuum.no_autovacuum(session, "tasks"):
        yield


class TestExamine:
    def test_calls_each_finding_by_the_name_of_its_check(self, session: Session) -> None:
        assert [finding.name for finding in examine()] == ["connection", *CHECKS]

    def test_says_what_a_check_met_that_could_not_be_made(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(session: Session) -> Finding:
            session.execute("SELECT 1 / 0")
            raise AssertionError

        monkeypatch.setitem(CHECKS, "wake-ups", refused)
        [finding] = [finding for finding in examine() if finding.name == "wake-ups"]
        assert (finding.ok, finding.detail) == (False, "division by zero")


@pytest.mark.usefixtures("new_tables")
class TestTableHealth:
    @pytest.mark.parametrize("name", ["autovacuum", "dead rows", "old snapshot", "index bloat"])
    def test_is_green_on_a_healthy_database(self, session: Session, name: str) -> None:
        finding = look(session, name)
        assert finding.ok, finding
        assert finding.name == name

    def test_names_a_table_without_autovacuum(self, session: Session, no_autovacuum: None) -> None:
        finding = look(session, "autovacuum")
        assert (finding.ok, finding.detail) == (False, "off for tasks")
        assert "RESET (autovacuum_enabled)" in finding.advice

    def test_names_a_table_full_of_dead_rows(
        self, engine: Engine, new_tables: None, no_autovacuum: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tables, "MOST_DEAD", 100)
        vacuum.vacuum(engine.session, "tasks")
        engine.create_many(100)
        engine.session.execute("UPDATE tasks SET version = version + 1")
        engine.session.execute("SELECT pg_stat_force_next_flush()")
        query("SELECT 1 FROM pg_stat_force_next_flush()")  # of the connection that inserted
        monkeypatch.setattr(tables, "VACUUM_WITHIN", 0.0)
        eventually(lambda: not look(engine.session, "dead rows").ok)  # what other connections did may yet be counted
        finding = look(engine.session, "dead rows")
        assert re.search(r"tasks \d+% \(vacuumed 0 min ago\)", finding.detail)
        assert finding.advice.startswith("run VACUUM tasks;")
        monkeypatch.setattr(tables, "VACUUM_WITHIN", 60.0)
        assert look(engine.session, "dead rows").ok  # a vacuum has just been there: this is the normal coming and going
        monkeypatch.setattr(tables, "VACUUM_WITHIN", 0.0)
        vacuum.vacuum(engine.session, "tasks")
        eventually(lambda: look(engine.session, "dead rows").ok)


class TestSessionSettings:
    def test_are_green_where_they_arrive(self, session: Session) -> None:
        assert look(session, "session settings").ok

    def test_are_read_back(self, session: Session) -> None:
        """A pooler that drops the start-up options looks like this."""
        session.execute("SET enable_seqscan = on")
        finding = look(session, "session settings")
        assert (finding.ok, finding.detail) == (False, "enable_seqscan is on, not off")
        assert "DIRECT_DATABASE_URL" in finding.advice


class TestPooler:
    def test_keeps_a_direct_connection_on_its_server(self, session: Session) -> None:
        finding = look(session, "pooler")
        assert (finding.ok, finding.detail) == (True, "sessions are kept")

    def test_is_seen_when_another_client_is_given_the_server(self, session: Session) -> None:
        """A transaction pooler gives the last used server to whoever asks next, a lone client the same again."""

        class Pooled:
            others = 0

            def fetch(self, sql: str) -> list[tuple[int]]:
                return [(100 if session_count() == self.others else 200,)]

        pooled = Pooled()
        pooled.others = session_count()
        finding = look(pooled, "pooler")  # type: ignore[arg-type]
        assert (finding.ok, finding.detail) == (False, "a transaction pooler")

    @pytest.mark.parametrize(
        ("error", "advice"),
        [
            ("FATAL:  unsupported startup parameter: options", "set DIRECT_DATABASE_URL"),
            ("FATAL:  unsupported startup parameter in options: jit", "set DIRECT_DATABASE_URL"),
            ("connection refused", "start the database"),
        ],
    )
    def test_that_refuses_to_be_asked_for_settings_is_no_database_that_is_down(self, error: str, advice: str) -> None:
        assert advice in how_to_connect(DatabaseAway(error))


def session_count() -> int:
    others = """SELECT count(*) FROM pg_stat_activity
                 WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid()
                   AND datname = current_database() AND backend_type = 'client backend'"""
    return int(query(others)[0][0])


class TestOldSnapshots:
    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tables, "OLDEST_SNAPSHOT", 0.0)

    def test_names_a_session_that_sits_in_a_transaction(self, session: Session, open_session: OpenSession) -> None:
        other = open_session()
        pid = other.connection.info.backend_pid
        with transaction(other):
            other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            other.fetch("SELECT 1 FROM tasks")
            finding = look(session, "old snapshot")
        assert not finding.ok
        assert finding.detail.startswith(
            f"session {pid} (task_scheduler test, postgres, idle in transaction) holds back"
        )
        assert f"pg_terminate_backend({pid})" in finding.advice
        assert look(session, "old snapshot").detail == "nothing holds back vacuum"

    def test_has_patience_with_a_short_transaction(
        self, session: Session, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tables, "OLDEST_SNAPSHOT", 300.0)
        other = open_session()
        with transaction(other):
            other.fetch("SELECT pg_current_xact_id()")
            finding = look(session, "old snapshot")
        assert finding.ok
        assert "holds back vacuum for 0 s" in finding.detail

    def test_names_a_slot_and_how_to_drop_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Slots have no times: what counts is for how many transactions they hold back."""

        class Answers:
            def __init__(self, age: int) -> None:
                self.age = age

            def rows(self, *_: object, **__: object) -> list[Holder]:
                return [Holder("slot", "old_standby", "not in use", None, self.age)]

        assert look(Answers(499_999), "old snapshot").ok  # type: ignore[arg-type]
        finding = look(Answers(500_000), "old snapshot")  # type: ignore[arg-type]
        assert not finding.ok
        assert finding.advice == "drop it if nobody will use it again: SELECT pg_drop_replication_slot('old_standby')"


class TestIndexSizes:
    def test_names_an_index_far_larger_than_its_entries(
        self, engine: Engine, new_tables: None, no_autovacuum: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine.create_many(2000)
        engine.session.execute("DELETE FROM tasks WHERE id <> (SELECT max(id::text)::uuid FROM tasks)")
        vacuum.vacuum(engine.session, "tasks")
        monkeypatch.setattr(tables, "LARGE_INDEX", 50_000)
        finding = look(engine.session, "index bloat")
        assert not finding.ok
        assert "tasks_pkey takes 0 MiB for 1 entries" in finding.detail
        assert "REINDEX INDEX CONCURRENTLY" in finding.advice
        engine.session.execute("REINDEX INDEX tasks_pkey")
        assert "tasks_pkey" not in look(engine.session, "index bloat").detail


class TestSchedules:
    def test_that_nobody_fires_are_told(self, session: Session) -> None:
        make_schedule(due=0)
        finding = look(session, "schedules")
        assert (finding.ok, finding.detail) == (True, "1 enabled, 0 overdue")
        make_schedule(late=timedelta(minutes=5))
        finding = look(session, "schedules")
        assert not finding.ok
        assert finding.detail.startswith("2 enabled, 1 overdue for up to 30")

    def test_that_cannot_be_decided_are_told(self, session: Session) -> None:
        make_schedule(due=0, put_offs=3, put_off_reason="its times are too costly to work out")
        finding = look(session, "schedules")
        assert (finding.ok, finding.detail) == (False, "1 enabled, 0 overdue, 1 put off")
        assert "put off, and edit them" in finding.advice


class TestApiKeys:
    def test_in_use_that_are_about_to_expire_are_told(self, session: Session) -> None:
        for name, days in (("soon", 6), ("later", 8), ("unused", 6), ("revoked", 6)):
            key, secret = create_key(name, ["admin"], actor="test", expires_in=timedelta(days=days))
            if name != "unused":
                find_key(secret)
            if name == "revoked":
                revoke_key(key, actor="test")
        finding = look(session, "api keys")
        assert (finding.ok, finding.detail) == (False, "in use and about to expire: soon")

    def test_that_never_expire_are_fine(self, session: Session) -> None:
        _, secret = create_key("k", ["admin"], actor="test", expires_in=NEVER)
        find_key(secret)
        assert look(session, "api keys").ok


class TestSandbox:
    """The level of SHELL_SANDBOX on this host; that it works is tried in test_shell_sandbox.py."""

    def test_names_what_a_worker_would_not_start_for(
        self, session: Session, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", "/no/such")
        settings.SCHEDULER = conf.load({"SHELL_SANDBOX": "bwrap"})
        finding = look(session, "sandbox")
        assert not finding.ok
        assert finding.detail == "SHELL_SANDBOX=bwrap: bwrap is not in PATH: install bubblewrap"
        assert "no worker starts here" in finding.advice

    @pytest.mark.parametrize("environ", [{}, {"SHELL_SANDBOX": "bwrap", "SHELL_TASKS_ENABLED": "false"}])
    def test_is_green_where_nothing_is_needed(self, session: Session, settings: Any, environ: dict[str, str]) -> None:
        settings.SCHEDULER = conf.load(environ)
        assert look(session, "sandbox").ok
