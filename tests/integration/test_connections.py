"""The connection one request leaves to the next: used again without a trip to ask while nothing speaks against it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import ProgrammingError, connections
from django.db.backends.postgresql.base import DatabaseWrapper as DjangosWrapper

from scheduler_project.postgresql import base
from scheduler_project.postgresql.base import DatabaseWrapper
from tests.support.clocks import Clock, ticking
from tests.support.waiting import eventually


@pytest.fixture
def wrapper(db: None) -> Iterator[DatabaseWrapper]:
    """A connection of its own, used by a request just now."""
    made = connections["default"].copy()
    assert isinstance(made, DatabaseWrapper)
    made.inc_thread_sharing()
    with made.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert made.is_usable()
    yield made
    made.close()


@pytest.fixture
def asked(wrapper: DatabaseWrapper, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What the server has answered when it was asked."""
    answers: list[bool] = []
    ask = DjangosWrapper.is_usable

    def noted(self: DatabaseWrapper) -> bool:
        answers.append(ask(self))
        return answers[-1]

    monkeypatch.setattr(DjangosWrapper, "is_usable", noted)
    return answers


def end_session(wrapper: DatabaseWrapper) -> None:
    pid = wrapper.connection.info.backend_pid
    with psycopg.connect(**_parameters(wrapper), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    eventually(lambda: not wrapper._is_silent())  # the message is on its way


def _parameters(wrapper: DatabaseWrapper) -> dict[str, Any]:
    wanted = ("dbname", "user", "host", "port", "password")
    return {name: value for name, value in wrapper.get_connection_params().items() if name in wanted}


class TestIsUsable:
    def test_asks_nobody_while_it_was_in_order_a_moment_ago(self, wrapper: DatabaseWrapper, asked: list[bool]) -> None:
        assert all(wrapper.is_usable() for _ in range(3))
        assert asked == []

    def test_knows_that_the_server_has_ended_the_session(self, wrapper: DatabaseWrapper, asked: list[bool]) -> None:
        end_session(wrapper)
        assert not wrapper.is_usable()
        assert asked == [False]
        assert not wrapper.is_usable()  # nothing is taken for granted then

    def test_lets_the_next_request_have_a_new_connection(self, wrapper: DatabaseWrapper) -> None:
        wrapper.health_check_enabled, wrapper.health_check_done = True, False  # as a request begins
        end_session(wrapper)
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT 2")
            assert cursor.fetchone() == (2,)

    def test_asks_when_that_was_long_ago(
        self, wrapper: DatabaseWrapper, asked: list[bool], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock: Clock = ticking(monkeypatch)
        wrapper._trusted_until = clock.now + base.TRUSTED_FOR
        clock.now += base.TRUSTED_FOR
        assert wrapper.is_usable()
        assert asked == [True]

    def test_asks_after_an_error(self, wrapper: DatabaseWrapper, asked: list[bool]) -> None:
        with pytest.raises(ProgrammingError), wrapper.cursor() as cursor:
            cursor.execute("SELECT nothing")
        assert wrapper.is_usable()
        assert asked == [True]

    def test_asks_when_the_server_has_said_something(self, wrapper: DatabaseWrapper, asked: list[bool]) -> None:
        with wrapper.cursor() as cursor:
            cursor.execute("LISTEN something")
        with psycopg.connect(**_parameters(wrapper), autocommit=True) as other:
            other.execute("NOTIFY something")
        eventually(lambda: not wrapper._is_silent())
        assert wrapper.is_usable()
        assert asked == [True]

    def test_asks_within_a_transaction(self, wrapper: DatabaseWrapper, asked: list[bool]) -> None:
        wrapper.set_autocommit(False)
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT 1")
        assert wrapper.is_usable()
        assert asked == [True]
        wrapper.rollback()

    def test_is_not_when_there_is_none(self, wrapper: DatabaseWrapper) -> None:
        wrapper.close()
        assert not wrapper._is_silent()
