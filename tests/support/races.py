"""Races that are staged, not hoped for: one connection holds a lock, a rival runs into it and waits, or skips."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from access_app.sql import statement
from tasks_app.sessions import Session
from tests.support.waiting import eventually

T = TypeVar("T")

_WAITS = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"


class Rival(Generic[T]):
    """``act`` in a thread of its own. ``pid`` is the backend it uses, known before it acts."""

    def __init__(self, act: Callable[[], T], *, session: Session | None = None) -> None:
        self._act = act
        self._answer: T | None = None
        self._error: BaseException | None = None
        self._pid = session.connection.info.backend_pid if session else None
        self._connected = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rival", daemon=True)
        self._thread.start()

    def waits(self, watcher: Session) -> None:
        """Prove that the rival waits for a lock; fails when it has its answer already."""
        assert self.has_to_wait(watcher), f"did not wait: {self._error or self._answer!r}"

    def has_to_wait(self, watcher: Session) -> bool:
        """Whether the rival comes to wait for a lock; False when it has got its answer without."""

        def settled() -> str | None:
            if not self._thread.is_alive():
                return "answered"
            rows = watcher.fetch(_WAITS, [self._pid]) if self._connected.is_set() else []
            return "waits" if rows and rows[0][0] else None

        return eventually(settled, interval=0.002) == "waits"

    def answer(self, timeout: float = 5) -> T:
        """What the rival got; raises what it raised. Fails when it still waits after ``timeout`` seconds."""
        self._thread.join(timeout)
        assert not self._thread.is_alive(), "the rival is still waiting"
        if self._error is not None:
            raise self._error
        return self._answer  # type: ignore[return-value]

    def _run(self) -> None:
        from django.db import connection

        try:
            if self._pid is None:
                connection.ensure_connection()
                self._pid = connection.connection.info.backend_pid
            self._connected.set()
            self._answer = self._act()
        except BaseException as error:
            self._error = error
        finally:
            connection.close()


def rival(act: Callable[[], T]) -> Rival[T]:
    """Something that uses Django's connection: a service, a selector."""
    return Rival(act)


def rival_on(session: Session, act: Callable[[Session], T]) -> Rival[T]:
    """Something that uses a session of the engine."""
    return Rival(lambda: act(session), session=session)


#: The lock a statement of `held_after_its_look` waits for.
LOOK_KEY = 7_002


def held_after_its_look(session: Session, name: str, here: str, parameters: dict[str, Any]) -> list[Any]:
    """Run a statement file that waits between its snapshot and its locks; ``here`` is the WHERE of its look."""
    text = statement(name)
    assert text.count(here) == 1
    pause = f"(SELECT true FROM pg_advisory_xact_lock_shared({LOOK_KEY})) AND"
    text = text.replace(here, here.replace("WHERE", f"WHERE {pause}"))
    return session.connection.execute(text, parameters).fetchall()  # type: ignore[call-overload, no-any-return]


@contextmanager
def looks_held(session: Session) -> Iterator[Session]:
    """Make statements of `held_after_its_look` wait until the end of the block."""
    with transaction(session):
        session.fetch("SELECT pg_advisory_xact_lock(%s)", [LOOK_KEY])
        yield session


@contextmanager
def transaction(session: Session) -> Iterator[Session]:
    """Keep what the session does in one transaction; committed at the end of the block, rolled back by an error."""
    session.execute("BEGIN")
    try:
        yield session
    except BaseException:
        session.execute("ROLLBACK")
        raise
    session.execute("COMMIT")


@contextmanager
def locked(session: Session, table: str, column: str, *values: Any, strength: str = "UPDATE") -> Iterator[Session]:
    """Hold the locks of some rows."""
    with transaction(session):
        session.fetch(f"SELECT 1 FROM {table} WHERE {column} = ANY(%s) FOR {strength}", [list(values)])
        yield session
