"""A connection that knows when it broke, and never passes a lost statement off as done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import psycopg
import pytest
from django.conf import settings

from access_app.database_faults import DatabaseAway, backoff
from tasks_app.sessions import PLANNING, Session, named
from tests.support.races import rival_on, transaction

OpenSession = Callable[[], Session]


@pytest.fixture
def pooled(committed_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """As behind a pooler that keeps nothing of a session."""
    monkeypatch.setattr(settings, "DATABASE", replace(settings.DATABASE, behind_pooler=True, direct_conninfo=None))
    made = Session("test", idle_in_transaction_session_timeout="200")
    yield made
    made.close()


class Pair(NamedTuple):
    left: int
    right: str


class TestNamed:
    def test_makes_the_columns_of_a_statement_fields(self, session: Session) -> None:
        cursor = session.connection.cursor(row_factory=named(Pair))
        [pair] = cursor.execute("SELECT 1 AS left, 'r' AS right").fetchall()
        assert (type(pair), pair.left, pair.right) == (Pair, 1, "r")

    @pytest.mark.parametrize("columns", ["1 AS right, 'r' AS left", "1 AS left", "1 AS left, 'r' AS right, 2"])
    def test_refuses_columns_that_are_not_the_fields(self, session: Session, columns: str) -> None:
        cursor = session.connection.cursor(row_factory=named(Pair))
        with pytest.raises(TypeError, match="Pair has the fields"):
            cursor.execute(f"SELECT {columns}".encode())

    def test_holds_behind_a_pooler_too(self, pooled: Session) -> None:
        with pooled.connection.pipeline():
            cursor = pooled.connection.cursor(row_factory=named(Pair)).execute("SELECT 1 AS left, 'r' AS right")
        assert cursor.fetchall() == [Pair(1, "r")]


class TestSession:
    def test_counts_its_connections(self, open_session: OpenSession) -> None:
        session = open_session()
        assert session.epoch == 0
        session.fetch("SELECT 1")
        session.fetch("SELECT 1")
        assert session.epoch == 1
        session.close()
        session.fetch("SELECT 1")
        assert session.epoch == 2

    def test_says_that_the_database_is_away_and_comes_back_by_itself(
        self, session: Session, open_session: OpenSession
    ) -> None:
        victim = open_session()
        session.fetch("SELECT pg_terminate_backend(%s, 5000)", [victim.connection.info.backend_pid])
        with pytest.raises(DatabaseAway):
            victim.fetch("SELECT 1")
        assert victim.fetch("SELECT 1") == [(1,)]
        assert victim.epoch == 2

    @pytest.mark.parametrize(
        ("sql", "error"),
        [
            ("SELECT 1/0", psycopg.DataError),
            ('SELECT \'{"a": "\\u0000"}\'::jsonb::text, (\'{"a": "\\u0000"}\'::jsonb)->>\'a\'', psycopg.DataError),
            ("SELECT nothing", psycopg.ProgrammingError),
        ],
    )
    def test_passes_on_an_error_that_is_the_statements_own(
        self, session: Session, sql: str, error: type[psycopg.Error]
    ) -> None:
        with pytest.raises(error):
            session.fetch(sql)
        assert session.fetch("SELECT 1") == [(1,)]
        assert session.epoch == 1

    @pytest.mark.parametrize("sqlstate", ["57P01", "25006"])
    def test_takes_a_server_that_is_leaving_or_standing_by_for_away(self, session: Session, sqlstate: str) -> None:
        session.fetch("SELECT 1")
        before = session.epoch
        with pytest.raises(DatabaseAway):
            session.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END $$")
        session.fetch("SELECT 1")
        assert session.epoch == before + 1, "it must look for the server that can write"

    def test_takes_a_deadlock_for_away_so_that_the_statement_is_sent_again(
        self, session: Session, open_session: OpenSession
    ) -> None:
        session.execute("INSERT INTO queues (name) VALUES ('a'), ('b')")
        lock = "SELECT 1 FROM queues WHERE name = %s FOR UPDATE"
        first, second = open_session(), open_session()
        second.execute("SET deadlock_timeout = '10s'")
        first.execute("SET deadlock_timeout = '10ms'")
        first.execute("BEGIN")
        first.fetch(lock, ["a"])
        with transaction(second):
            second.fetch(lock, ["b"])
            other = rival_on(second, lambda s: s.fetch(lock, ["a"]))
            other.waits(session)
            with pytest.raises(DatabaseAway, match="deadlock"):
                first.fetch(lock, ["b"])
            assert other.answer() == [(1,)]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("plan_cache_mode", "force_generic_plan"),
            ("jit", "off"),
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("application_name", "task_scheduler test"),
        ],
    )
    def test_keeps_plans_steady_and_says_who_it_is(self, session: Session, name: str, value: str) -> None:
        assert session.fetch(f"SHOW {name}") == [(value,)]

    def test_sends_its_settings_with_every_transaction_behind_a_pooler(self, pooled: Session) -> None:
        """There, what a session sets belongs to whoever is given its connection next."""
        shown = [pooled.fetch(f"SHOW {name}") for name in PLANNING]
        assert shown == [[(value,)] for value in PLANNING.values()]
        with transaction(pooled):
            assert pooled.fetch("SHOW idle_in_transaction_session_timeout") == [("200ms",)]
        with pooled.connection.pipeline():
            cursors = [pooled.connection.execute("SHOW enable_seqscan") for _ in range(2)]
        assert [cursor.fetchall() for cursor in cursors] == [[("off",)], [("off",)]]
        plain = psycopg.Cursor(pooled.connection).execute("SHOW enable_seqscan")
        assert plain.fetchall() == [("on",)]

    def test_passes_on_an_error_behind_a_pooler(self, pooled: Session) -> None:
        with pytest.raises(psycopg.DataError):
            pooled.fetch("SELECT 1/0")
        assert pooled.fetch("SELECT 1") == [(1,)]
        assert pooled.epoch == 1

    def test_of_a_frozen_scheduler_behind_a_pooler_loses_its_transaction(
        self, pooled: Session, session: Session
    ) -> None:
        self.check_frozen(pooled, session)

    def test_takes_settings_of_its_role(self, committed_db: None) -> None:
        session = Session("scheduler", idle_in_transaction_session_timeout="2000")
        try:
            assert session.fetch("SHOW idle_in_transaction_session_timeout") == [("2s",)]
        finally:
            session.close()

    def test_of_a_frozen_scheduler_loses_its_transaction(self, session: Session) -> None:
        frozen = Session("scheduler", idle_in_transaction_session_timeout="200")
        try:
            self.check_frozen(frozen, session)
        finally:
            frozen.close()

    def check_frozen(self, frozen: Session, session: Session) -> None:
        frozen.execute("BEGIN")
        frozen.rows("take_pass")
        with ThreadPoolExecutor(1) as pool:  # the lock comes free without anybody doing anything
            free = "SELECT 1 FROM scheduler_pass WHERE name = 'assign' FOR UPDATE"
            assert pool.submit(session.fetch, free).result(10) == [(1,)]
        with pytest.raises(DatabaseAway):
            frozen.execute("COMMIT")


class TestBackoff:
    def test_grows_with_every_failure_to_two_seconds_and_spreads(self) -> None:
        assert all(0.05 <= backoff(1) <= 0.1 for _ in range(50))
        assert all(1 <= backoff(n) <= 2 for n in (6, 10, 1000) for _ in range(50))
        assert len({backoff(3) for _ in range(20)}) > 1
