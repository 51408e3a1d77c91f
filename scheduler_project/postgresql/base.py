"""Django's PostgreSQL engine, counted by django-prometheus, that brings up the embedded server when it is down.

When a connection fails and the embedded server is the chosen database, the server (or its missing database) is brought
up and the connection tried once more. A connection that was in order a moment ago is used again without a trip to ask.
All else is Django's engine.
"""

from __future__ import annotations

import select
import time
from typing import Any, Final

from django_prometheus.db.backends.postgresql import base
from psycopg.pq import ConnStatus, TransactionStatus

from scheduler_project.database import EmbeddedChoice

#: Seconds for which a connection is in order since it was last seen to be, as long as the server says nothing on it.
#: What forgets idle connections without a word (firewalls, say) does so after minutes.
TRUSTED_FOR: Final = 5.0


class DatabaseWrapper(base.DatabaseWrapper):  # type: ignore[misc]  # the base class is untyped
    # In any connection of this process. A server that goes away afterwards without a crash was stopped by somebody who
    # wants it down; this process must not bring it back.
    has_connected = False
    #: By the monotonic clock.
    _trusted_until = 0.0

    def is_usable(self) -> bool:
        """Whether a request may use the connection that the one before has left.

        A server that ends a session says so on it, hence silence will do; else the server is asked, which is a trip.
        """
        now = time.monotonic()
        trusted = now < self._trusted_until and not self.errors_occurred and self._is_silent()
        if not trusted and not super().is_usable():
            return False
        self._trusted_until = now + TRUSTED_FOR
        return True

    def _is_silent(self) -> bool:
        """Whether the connection is open, between two transactions, and has nothing to read: no end, no notice."""
        if self.connection is None:
            return False
        wire = self.connection.pgconn
        if wire.status != ConnStatus.OK or wire.transaction_status != TransactionStatus.IDLE:
            return False
        reading = select.poll()
        reading.register(wire.socket, select.POLLIN)
        return not reading.poll(0)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        try:
            connection = super().get_new_connection(conn_params)
        except self.Database.OperationalError:
            if not (choice := self.settings_dict.get("EMBEDDED")):
                raise
            self._bring_up(choice)
            connection = super().get_new_connection(conn_params)
        DatabaseWrapper.has_connected = True
        return connection

    def _bring_up(self, choice: EmbeddedChoice) -> None:
        # Rarely needed: imported here to keep the start of every process fast.
        from scheduler_project.embedded.server import EmbeddedError, EmbeddedServer

        server = EmbeddedServer(choice.location, bindir=choice.bindir)
        try:
            server.start(only_after_crash=DatabaseWrapper.has_connected)
        except EmbeddedError as error:
            # To callers this is a database that is down: loops retry, health says DOWN.
            raise self.Database.OperationalError(f"embedded PostgreSQL: {error}") from error
