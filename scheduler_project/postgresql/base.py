"""Django's PostgreSQL engine, counted by django-prometheus, that brings up the embedded server when it is down.

Nothing here runs while connections succeed. When one fails and the embedded server is the chosen database, the server
(or its missing database) is brought up and the connection tried once more. All else is Django's engine.
"""

from __future__ import annotations

from typing import Any

from django_prometheus.db.backends.postgresql import base

from scheduler_project.database import EmbeddedChoice


class DatabaseWrapper(base.DatabaseWrapper):  # type: ignore[misc]  # the base class is untyped
    # In any connection of this process. A server that goes away afterwards without a crash was stopped by somebody who
    # wants it down; this process must not bring it back.
    has_connected = False

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
