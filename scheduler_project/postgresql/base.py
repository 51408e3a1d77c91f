"""Django's PostgreSQL engine, counted by django-prometheus, that starts the embedded server when it is down.

Nothing here runs while connections succeed. When one fails and the embedded server is the chosen database, the server
(or its missing database) is brought up and the connection tried once more. All else is Django's engine.
"""

from __future__ import annotations

from typing import Any

from django_prometheus.db.backends.postgresql import base  # type: ignore[import-untyped]


class DatabaseWrapper(base.DatabaseWrapper):  # type: ignore[misc]  # the base class is untyped
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        try:
            return super().get_new_connection(conn_params)
        except self.Database.OperationalError:
            if not self._bring_up_embedded():
                raise
        return super().get_new_connection(conn_params)

    def _bring_up_embedded(self) -> bool:
        """Whether something was missing and is there now. Raises OperationalError when it cannot be brought up."""
        if (choice := self.settings_dict.get("EMBEDDED")) is None:
            return False
        # Rarely needed: imported here to keep the start of every process fast.
        from scheduler_project.embedded.server import EmbeddedError, EmbeddedServer

        try:
            return EmbeddedServer(choice.location, bindir=choice.bindir).bring_up()
        except EmbeddedError as error:
            # To callers this is a database that is down: loops retry, health says DOWN.
            raise self.Database.OperationalError(str(error)) from error
