"""Listening for wake-ups: LISTEN first, then look once, then sleep on the socket. Sending is ``tasks_app/wakeups.py``.

The connection is direct (no pooler keeps a LISTEN) and never in a transaction, so it holds back no vacuum. When it
breaks, the sleeper is woken once, because whatever was said meanwhile is lost, and otherwise lives on polling.

A worker's connection also holds its lock (``workers_app/recovery.py``): the server frees it when the process dies.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID

import psycopg
from django.conf import settings

from access_app.database_faults import DatabaseAway, backoff
from tasks_app import wakeups
from tasks_app.sessions import Session
from workers_app.stop_signals import SelfPipe


class Listener:
    """Sleeps until a message on a channel concerns us, the pipe is written, or the time is up. One thread only.

    ``holder`` is the worker whose lock is to be held meanwhile.
    """

    def __init__(
        self,
        channel: str,
        pipe: SelfPipe,
        concerns: Callable[[str], bool] = lambda _: True,
        *,
        holder: UUID | None = None,
    ) -> None:
        self._channel = channel
        self._pipe = pipe
        self._concerns = concerns
        self._holder = holder
        self._session = Session("listener", direct=True, **_server_settings(holder)) if wakeups.enabled() else None
        self._heard_epoch = 0
        self._failures = 0
        self._try_again_at = 0.0

    def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            if self._wait_once(rest):
                return

    def close(self) -> None:
        if self._session is not None:
            self._session.close()

    def _wait_once(self, seconds: float) -> bool:
        """Sleep once; whether to wake up."""
        try:
            if self._session is None or (fresh := self._listen()) is None:
                self._pipe.wait(min(seconds, 1.0) if self._session else seconds)
                return True
            if fresh:
                self._concerns("*")  # whatever was said before it could be heard
                return True
            connection = self._session.connection
            if not self._pipe.wait(seconds, connection.fileno()):
                return True
            return self._concern(connection)
        except (psycopg.Error, DatabaseAway):
            self._lost()
            return True

    def _concern(self, connection: psycopg.Connection) -> bool:
        """Read every message that came, also behind one that concerns us; whether any does."""
        # Not psycopg's generator, which asks the socket again before it ends.
        connection.pgconn.consume_input()
        concerned = False
        while (message := connection.pgconn.notifies()) is not None:
            concerned |= self._concerns(message.extra.decode(errors="replace"))
        return concerned

    def _listen(self) -> bool | None:
        """Whether the connection is new (so look once); None while none can be made."""
        assert self._session is not None
        if time.monotonic() < self._try_again_at:
            return None
        connection = self._session.connection
        if self._session.epoch == self._heard_epoch:
            return False
        connection.execute(f'LISTEN "{self._channel}"'.encode())
        if self._holder is not None:
            connection.execute("SELECT pg_try_advisory_lock_shared(hashtextextended(%s, 0))", [str(self._holder)])
        self._heard_epoch, self._failures = self._session.epoch, 0
        return True

    def _lost(self) -> None:
        assert self._session is not None
        self._session.close()
        self._failures += 1
        self._try_again_at = time.monotonic() + backoff(self._failures)
        self._concerns("*")  # the lock is lost with the connection: a beat must say that its holder lives


def _server_settings(holder: UUID | None) -> dict[str, str]:
    """A lock must outlast a network that only drops packets: the server asks after its holder later than in a lease."""
    if holder is None:
        return {}
    seconds = int(settings.SCHEDULER.heartbeat_timeout.total_seconds() * 2)
    return {"tcp_keepalives_idle": str(seconds), "tcp_user_timeout": "0", "idle_session_timeout": "0"}
