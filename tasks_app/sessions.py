"""One database connection of one thread of a long-lived process: autocommit, prepared, tuned for the hot statements.

Scheduler, worker and wake-ups use these instead of Django's per-request connections, because they must know when a
connection broke (`epoch`), pipeline whole passes, and keep their plans generic. There is no pool: after a failover the
first caller would wait out the whole pool's time-out. Parameters and the embedded server's start come from Django.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Final, NamedTuple, NoReturn, Self, TypeVar, overload

import psycopg
from django.conf import settings
from django.db import connections
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.rows import RowFactory, tuple_row

from access_app.database_faults import DatabaseAway, fault_of
from access_app.sql import statement

Row = tuple[Any, ...]
Named = TypeVar("Named", bound=NamedTuple)

#: Most rows one statement of housekeeping changes: its transaction stays short, and the next batch follows at once.
BATCH: Final = 1000

#: Generic plans that cannot flip to hash, sequential, bitmap or parallel scans while statistics are stale: those read
#: all of a set before they return its first row, and most hot statements stop early.
PLANNING: Final = {
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "max_parallel_workers_per_gather": "0",
}


class Session:
    """A connection that reopens itself on the next use. Not thread-safe: one thread owns it.

    ``epoch`` grows with every connection made, so that a caller knows whether two results came over one unbroken
    session.
    """

    def __init__(self, role: str, *, direct: bool = False, **server_settings: str) -> None:
        self._role = role
        self._direct = direct
        self._server_settings = server_settings
        self._connection: psycopg.Connection | None = None
        self.epoch = 0

    @property
    def connection(self) -> psycopg.Connection:
        """The open connection; opens one when there is none. Raises `DatabaseAway`."""
        if self._connection is None or self._connection.closed:
            try:
                self._connection = self._connect()
            except psycopg.Error as error:
                raise DatabaseAway(str(error)) from error
            self.epoch += 1
        return self._connection

    @overload
    def rows(self, name: str, parameters: Mapping[str, Any] | None = None, *, binary: bool = False) -> list[Row]: ...
    @overload
    def rows(
        self, name: str, parameters: Mapping[str, Any] | None = None, *, of: type[Named], binary: bool = False
    ) -> list[Named]: ...
    def rows(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        of: type[Any] | None = None,
        binary: bool = False,
    ) -> list[Any]:
        """Run one statement file as a transaction of its own and return its rows. Raises `DatabaseAway`.

        ``of`` is a named tuple with the statement's columns; rows of more than two columns have one. For
        ``binary`` see `send`.
        """
        try:
            return self.send(name, parameters, of=of, binary=binary).fetchall()
        except psycopg.Error as error:
            self.fail(error)

    def send(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        of: type[Any] | None = None,
        binary: bool = False,
    ) -> psycopg.Cursor[Any]:
        """Run one statement file and return the cursor its rows are fetched from: behind the pipeline, if in one.

        ``binary`` saves the parsing of many rows. Raises `psycopg.Error`.
        """
        cursor = self.connection.cursor(row_factory=tuple_row if of is None else named(of), binary=binary)
        return cursor.execute(statement(name), parameters or {}, prepare=self.prepares)

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run one query given as text and return its rows. Raises `DatabaseAway`."""
        try:
            return self.connection.execute(sql.encode(), parameters).fetchall()
        except psycopg.Error as error:
            self.fail(error)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement that returns nothing. Raises `DatabaseAway`."""
        try:
            self.connection.execute(sql.encode(), parameters)
        except psycopg.Error as error:
            self.fail(error)

    def fail(self, error: psycopg.Error) -> NoReturn:
        """Raise what an error means: `DatabaseAway` when the statement's fate is unknown, else the error itself."""
        # A server that cannot write is left, too: after a failover the next one can.
        if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)) or fault_of(error) is not None:
            self.close()
            raise DatabaseAway(str(error)) from error
        raise error

    def close(self) -> None:
        """Drop the connection; the next use opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @property
    def _behind_pooler(self) -> bool:
        database = settings.DATABASE
        return database.behind_pooler and not (self._direct and database.direct_conninfo is not None)

    @property
    def prepares(self) -> bool:
        """Whether statements are prepared on the server."""
        # Before 1.21, PgBouncer in transaction mode loses prepared statements between two transactions.
        return not self._behind_pooler

    def _connect(self) -> psycopg.Connection:
        wrapper = connections["default"]
        parameters = wrapper.get_connection_params()
        direct = settings.DATABASE.direct_conninfo
        if self._direct and settings.DATABASE.behind_pooler and direct is not None:
            parameters |= conninfo_to_dict(direct)
        parameters["application_name"] = f"task_scheduler {self._role}"
        server_settings = PLANNING | self._server_settings
        if not self._behind_pooler:
            options = "".join(f" -c {name}={value}" for name, value in server_settings.items())
            parameters["options"] = (parameters.get("options") or "") + options
        connection: psycopg.Connection = wrapper.get_new_connection(parameters)
        connection.autocommit = True
        connection.cursor_factory = _pooled_cursor(server_settings) if self._behind_pooler else psycopg.Cursor
        connection.prepare_threshold = None if self._behind_pooler else 5
        return connection


def named(row: type[Named]) -> RowFactory[Named]:
    """A row factory for psycopg: the columns of a statement become the fields of a named tuple, in the same order.

    Raises TypeError when the names differ.
    """
    # Measured on rows of start_assigned: 1 µs a row beyond plain tuples, as `_make` afterwards; psycopg's class_row
    # takes 6. The names cost 2 µs a statement; `cursor.description` takes 33.
    fields = [field.encode() for field in row._fields]

    def make_row_maker(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], Named]:
        result = cursor.pgresult
        columns = fields if result is None else [result.fname(index) for index in range(result.nfields)]
        if columns != fields:
            raise TypeError(f"{row.__name__} has the fields {fields}, the statement the columns {columns}")
        return row._make

    return make_row_maker


def _pooled_cursor(server_settings: Mapping[str, str]) -> type[psycopg.Cursor]:
    """A cursor that sends settings along with each statement: a pooler gives every transaction another session.

    They hold for the transaction, which without BEGIN is all that is sent until the pipeline's end: one trip for both.
    Inside a transaction they take a trip of their own, because a server does not watch over the idle time in a
    transaction behind the flush with which psycopg ends a pipeline.
    """
    names, values = list(server_settings), list(server_settings.values())

    class PooledCursor(psycopg.Cursor[Row]):
        def execute(self, *args: Any, **options: Any) -> Self:
            state = self.connection.info
            alone = state.pipeline_status == PipelineStatus.OFF and state.transaction_status == TransactionStatus.IDLE
            with self.connection.pipeline() if alone else nullcontext():
                self._send_settings()
                return super().execute(*args, **options)

        def _send_settings(self) -> None:
            psycopg.Cursor(self.connection).execute(
                "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS s(name, value)",
                [names, values],
            )

    return PooledCursor
