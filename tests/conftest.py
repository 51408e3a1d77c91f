"""Fixtures of every test. The database is a scratch cluster of the run's own: ``tests/support/environment.py``.

Nothing but loopback may be contacted: a connection to any other address fails the test that tried.
"""

from __future__ import annotations

import gc
import ipaddress
import signal
import socket
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# However busy the machine is: what a test says of time, it says itself.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Browser tests have a target, and requirements, of their own.
collect_ignore = [] if find_spec("playwright") else ["browser"]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collecting makes a million objects that stay. Looking through them again and again cost a third of collecting,
    and one twentieth of the tests. What tests make is collected after as many objects as a page or two of the admin
    make, not after 700: that was a tenth of the processor time of tests that ask for pages."""
    gc.disable()
    yield
    gc.enable()
    gc.freeze()
    gc.set_threshold(50_000)


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: Any, django_db_modify_db_settings: None) -> None:
    """Make the test database whenever a test wants it; pytest-django's own wants a mark, which `committed_db` is not.

    It is not dropped at the end, because its cluster is.
    """
    from django.test.utils import setup_databases

    with django_db_blocker.unblock():
        setup_databases(verbosity=0, interactive=False)


@pytest.fixture(scope="session", autouse=True)
def static_files_found_when_asked_for(django_test_environment: None) -> Iterator[None]:
    """Every `Client` builds all middleware anew: whitenoise would list 200 files each time."""
    from django.test import override_settings

    with override_settings(WHITENOISE_AUTOREFRESH=True):
        yield


@pytest.fixture(scope="session", autouse=True)
def passwords_hashed_quickly(django_test_environment: None) -> Iterator[None]:
    """A hash as production makes it takes a third of a second; no test asks for one but in a process of its own."""
    from django.test import override_settings

    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture(autouse=True)
def nobody_listens() -> None:
    """As if it had just been looked: what this process knows of who hears of ends outlives the database of a test."""
    from tasks_app import notices

    notices.know_of(notices.Listening(), since=time.monotonic())


@pytest.fixture
def committed_db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A database where commits are real, so that several connections see each other; our tables are emptied after."""
    from tasks_app import wakeups
    from tests.support.committed import empty_tables

    with django_db_blocker.unblock():
        yield
        wakeups.sender().close()
        empty_tables()


@pytest.fixture
def new_tables(committed_db: None) -> None:
    """Without the dead rows of earlier tests, for what looks at pages and plans."""
    from tests.support.committed import begin_with_new_tables

    begin_with_new_tables()


@pytest.fixture(scope="session")
def idle_connections(django_db_setup: None) -> Iterator[Any]:
    from tests.support.committed import IdleConnections

    idle = IdleConnections()
    yield idle
    idle.close()


@pytest.fixture
def open_session(committed_db: None, idle_connections: Any) -> Iterator[Callable[[], Any]]:
    """Opens sessions of the engine on the test database, for races staged between connections."""
    sessions: list[Any] = []

    def open_one() -> Any:
        sessions.append(idle_connections.session())
        return sessions[-1]

    yield open_one
    for opened in sessions:
        idle_connections.put(opened)


@pytest.fixture
def session(open_session: Callable[[], Any]) -> Any:
    """A session of the engine on the test database."""
    return open_session()


@pytest.fixture
def from_a_terminal() -> Iterator[None]:
    """Signals as a terminal leaves them, here and in what is started: of a run below nohup, or one that a script put in
    the background, has some of them ignored, and commands respect that."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGHUP, signal.SIGQUIT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def only_loopback() -> Iterator[None]:
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            pytest.fail(f"a test tried to connect to {address}")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
