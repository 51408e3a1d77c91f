"""The proxy of the other tests: a fault that is not what it says would make them worthless."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.support.proxy import Direction, Proxy
from tests.support.stack import database_url, query
from tests.support.waiting import eventually

INSERT = "INSERT INTO queues (name) VALUES (%s)"


@pytest.fixture
def proxy(committed_db: None) -> Iterator[Proxy]:
    with Proxy(database_url()) as made:
        yield made


@pytest.fixture
def connect(proxy: Proxy) -> Iterator[Callable[[], psycopg.Connection]]:
    made: list[psycopg.Connection] = []

    def connect_once() -> psycopg.Connection:
        made.append(psycopg.connect(proxy.dsn, autocommit=True, connect_timeout=2))
        return made[-1]

    yield connect_once
    for connection in made:
        connection.close()


@pytest.fixture
def client(connect: Callable[[], psycopg.Connection]) -> psycopg.Connection:
    return connect()


def stored() -> list[str]:
    return [row[0] for row in query("SELECT name FROM queues ORDER BY name")]


def by_simple_query(client: psycopg.Connection) -> None:
    client.execute("INSERT INTO queues (name) VALUES ('lost')")


def by_prepared_statement(client: psycopg.Connection) -> None:
    client.execute(INSERT, ["lost"], prepare=True)


def by_transaction(client: psycopg.Connection) -> None:
    with client.transaction():
        client.execute(INSERT, ["lost"])
        assert client.execute("SELECT 1").fetchone() == (1,)


def by_pipeline(client: psycopg.Connection) -> None:
    with client.pipeline():
        client.execute("BEGIN")
        client.execute(INSERT, ["lost"], prepare=True)
        client.execute("COMMIT")


class TestCutAfter:
    @pytest.mark.parametrize("write", [by_simple_query, by_prepared_statement, by_transaction, by_pipeline])
    def test_loses_the_answer_and_not_the_commit(
        self, proxy: Proxy, client: psycopg.Connection, write: Callable[[psycopg.Connection], None]
    ) -> None:
        client.execute(INSERT, ["first"], prepare=True)  # prepared before anything is to be cut
        with client.cursor().copy("COPY queues (name) FROM STDIN") as copy:  # a request with two Syncs
            copy.write_row(["copied"])
        proxy.cut_after("INSERT INTO queues")
        with pytest.raises(psycopg.OperationalError):
            write(client)
        assert proxy.cuts == 1
        assert stored() == ["copied", "first", "lost"]
        eventually(lambda: proxy.open == 0)

    def test_spares_what_did_not_commit(self, proxy: Proxy, client: psycopg.Connection) -> None:
        proxy.cut_after("INSERT INTO queues")
        with client.transaction(force_rollback=True):
            client.execute(INSERT, ["lost"])
        with pytest.raises(psycopg.DataError):
            client.execute("INSERT INTO queues (name) SELECT (1/0)::text")
        assert (proxy.cuts, stored()) == (0, [])

    def test_stops_at_its_count(self, proxy: Proxy, connect: Callable[[], psycopg.Connection]) -> None:
        proxy.cut_after("INSERT INTO queues", 2)
        for _ in range(2):
            with pytest.raises(psycopg.OperationalError):
                connect().execute("INSERT INTO queues (name) VALUES (gen_random_uuid())")
        connect().execute(INSERT, ["kept"])
        assert proxy.cuts == 2
        assert len(stored()) == 3


class TestFaults:
    def test_a_delay_is_that_of_each_direction(self, proxy: Proxy, client: psycopg.Connection) -> None:
        proxy.delay(0.2)
        began = time.monotonic()
        client.execute("SELECT 1")
        assert 0.4 <= time.monotonic() - began < 1
        proxy.heal()
        began = time.monotonic()
        client.execute("SELECT 1")
        assert time.monotonic() - began < 0.2

    @pytest.mark.parametrize(("direction", "arrives"), [(Direction.TO_SERVER, False), (Direction.TO_CLIENT, True)])
    def test_a_dropped_direction_swallows_until_it_is_healed(
        self, proxy: Proxy, client: psycopg.Connection, direction: Direction, arrives: bool
    ) -> None:
        proxy.drop(direction)
        client.pgconn.send_query(b"INSERT INTO queues (name) VALUES ('one')")
        if arrives:
            eventually(lambda: stored() == ["one"])
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(proxy.dsn, connect_timeout=2)
        assert proxy.open >= 1
        proxy.heal()
        with pytest.raises(psycopg.OperationalError):
            client.execute("SELECT 1")
        assert stored() == (["one"] if arrives else [])

    def test_a_blackhole_answers_nobody_and_closes_nothing(self, proxy: Proxy, client: psycopg.Connection) -> None:
        proxy.blackhole()
        with pytest.raises(psycopg.OperationalError, match="timeout"):
            psycopg.connect(proxy.dsn, connect_timeout=2)
        proxy.heal()
        assert client.execute("SELECT 1").fetchone() == (1,)  # it said nothing meanwhile, so it lost nothing

    def test_what_is_held_arrives_late(self, proxy: Proxy, client: psycopg.Connection) -> None:
        proxy.hold()
        client.pgconn.send_query(b"INSERT INTO queues (name) VALUES ('late')")
        assert stored() == []
        proxy.heal()
        eventually(lambda: stored() == ["late"])

    def test_a_refusal_is_for_new_connections(self, proxy: Proxy, client: psycopg.Connection) -> None:
        proxy.refuse()
        with pytest.raises(psycopg.OperationalError, match="refused"):
            psycopg.connect(proxy.dsn)
        client.execute("SELECT 1")
        proxy.heal()
        psycopg.connect(proxy.dsn).close()

    def test_a_reset_ends_all_connections_or_some(
        self, proxy: Proxy, connect: Callable[[], psycopg.Connection]
    ) -> None:
        listener, client = connect(), connect()
        listener.execute("LISTEN something")
        assert proxy.reset(sent="LISTEN") == 1
        client.execute("SELECT 1")
        assert proxy.reset() == 1
        for gone in (listener, client):
            with pytest.raises(psycopg.OperationalError):
                gone.execute("SELECT 1")

    def test_resets_at_random_come_with_their_chance(
        self, proxy: Proxy, connect: Callable[[], psycopg.Connection]
    ) -> None:
        client = connect()
        proxy.reset_at_random(1.0)
        with pytest.raises(psycopg.OperationalError):
            client.execute("SELECT 1")
        proxy.heal()
        connect().execute("SELECT 1")
        assert proxy.resets == 1
