"""Fixtures of every test. The database is a scratch cluster of the test run's own; see ``tests/support/cluster.py``.

Nothing but loopback may be contacted: a connection to any other address fails the test that tried.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.cluster import session_cluster_url

for name in ("DB_HOST", "DIRECT_DATABASE_URL", "DEBUG"):
    os.environ.pop(name, None)
os.environ["SCHEDULER_PROFILE"] = "test"
os.environ["DATABASE_URL"] = session_cluster_url()

_OURS = (
    "tasks",
    "task_executions",
    "audit_events",
    "idempotency_keys",
    "queues",
    "api_keys",
    "worker_heartbeats",
    "scheduler_heartbeats",
)


@pytest.fixture
def committed_db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A database where commits are real, so that several connections see each other; our tables are emptied after."""
    from django.db import connection

    with django_db_blocker.unblock():
        yield
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {', '.join(_OURS)} RESTART IDENTITY")
        connection.close()


@pytest.fixture
def session(committed_db: None) -> Iterator[Any]:
    """A session of the engine on the test database."""
    from tasks_app.sessions import Session

    opened = Session("test")
    yield opened
    opened.close()


@pytest.fixture
def open_session(committed_db: None) -> Iterator[Callable[[], Any]]:
    """Opens further sessions, for races staged between connections."""
    from tasks_app.sessions import Session

    sessions: list[Session] = []

    def open_one() -> Session:
        sessions.append(Session("test"))
        return sessions[-1]

    yield open_one
    for opened in sessions:
        opened.close()


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            pytest.fail(f"a test tried to connect to {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
