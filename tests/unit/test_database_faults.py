"""SQLSTATEs and words become kinds; everything that is a mistake of ours or of the caller does not."""

from __future__ import annotations

import psycopg
import pytest
from django.db import DataError, IntegrityError, InterfaceError, InternalError, OperationalError, ProgrammingError
from psycopg import errors

from access_app.database_faults import _BY_STATE, _FAULTS, DatabaseAway, Kind, explained, fault_of, short


def wrapped(error: Exception, *around: Exception) -> Exception:
    """An exception raised from another, as Django and our sessions raise theirs."""
    for outer in around:
        outer.__cause__ = error
        error = outer
    return error


STATES = {
    errors.ReadOnlySqlTransaction: Kind.READ_ONLY,
    errors.DiskFull: Kind.FULL,
    errors.OutOfMemory: Kind.OUT_OF_MEMORY,
    errors.TooManyConnections: Kind.NO_CONNECTIONS,
    errors.CannotConnectNow: Kind.STARTING,
    errors.AdminShutdown: Kind.STOPPING,
    errors.CrashShutdown: Kind.STOPPING,
    errors.IdleInTransactionSessionTimeout: Kind.STOPPING,
    errors.IoError: Kind.FAILING,
    errors.UndefinedFile: Kind.FAILING,
    errors.LockNotAvailable: Kind.BUSY,
    errors.DeadlockDetected: Kind.BUSY,
    errors.SerializationFailure: Kind.BUSY,
    errors.QueryCanceled: Kind.SLOW,
    errors.InsufficientPrivilege: Kind.REFUSED,
    errors.InvalidPassword: Kind.REFUSED,
    errors.InvalidCatalogName: Kind.REFUSED,
    errors.ConnectionFailure: Kind.UNREACHABLE,
}
WORDS = {
    'FATAL:  sorry, too many clients already': Kind.NO_CONNECTIONS,
    'FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute': Kind.NO_CONNECTIONS,
    'FATAL:  too many connections for role "web"': Kind.NO_CONNECTIONS,
    'FATAL:  too many connections for database "task_scheduler"': Kind.NO_CONNECTIONS,
    "FATAL:  no more connections allowed (max_client_conn)": Kind.NO_CONNECTIONS,
    "FATAL:  the database system is starting up": Kind.STARTING,
    "FATAL:  the database system is not yet accepting connections": Kind.STARTING,
    "FATAL:  the database system is in recovery mode": Kind.STARTING,
    "FATAL:  the database system is shutting down": Kind.STOPPING,
    'FATAL:  password authentication failed for user "web"': Kind.REFUSED,
    'FATAL:  no pg_hba.conf entry for host "10.0.0.1"': Kind.REFUSED,
    'FATAL:  role "web" does not exist': Kind.REFUSED,
    'FATAL:  database "nope" does not exist': Kind.REFUSED,
    'FATAL:  role "web" is not permitted to log in': Kind.REFUSED,
    'connection to server at "127.0.0.1", port 1 failed: Connection refused': Kind.UNREACHABLE,
    "server closed the connection unexpectedly": Kind.UNREACHABLE,
    "connection failed: session is read-only": Kind.READ_ONLY,
    "": Kind.UNREACHABLE,
}  # fmt: skip


class TestFaultOf:
    @pytest.mark.parametrize("error", STATES, ids=lambda error: error.__name__)
    def test_goes_by_the_sqlstate_however_it_is_wrapped(self, error: type[psycopg.Error]) -> None:
        for outer in ((), (OperationalError("x"),), (InternalError("x"),), (DatabaseAway("x"),)):
            found = fault_of(wrapped(error("words that say nothing"), *outer))
            assert found is not None and found.kind is STATES[error]

    @pytest.mark.parametrize("words", WORDS)
    def test_goes_by_the_words_where_there_is_no_sqlstate(self, words: str) -> None:
        for error in (psycopg.OperationalError(words), OperationalError(words), InterfaceError(words)):
            found = fault_of(wrapped(error, DatabaseAway(words)))
            assert found is not None and found.kind is WORDS[words]

    @pytest.mark.parametrize(
        "error",
        [
            errors.UniqueViolation(), errors.CheckViolation(), errors.SyntaxError(), errors.UndefinedTable(),
            errors.UndefinedColumn(), errors.NumericValueOutOfRange(), errors.InFailedSqlTransaction(),
            IntegrityError("x"), ProgrammingError("x"), DataError("x"), InternalError("x"), RuntimeError("full"),
        ],
        ids=lambda error: type(error).__name__,
    )  # fmt: skip
    def test_is_none_for_mistakes(self, error: Exception) -> None:
        assert fault_of(error) is None
        assert fault_of(wrapped(error, RuntimeError("x"))) is None

    def test_ends_at_an_error_that_is_its_own_cause(self) -> None:
        """As a session raises what it does not wrap; it must not look for a cause for ever."""
        error = errors.DivisionByZero("division by zero")
        with pytest.raises(errors.DivisionByZero):
            raise error from error
        assert fault_of(error) is None

    def test_knows_every_operational_sqlstate_of_its_classes(self) -> None:
        for name in ("08000", "53000", "53400", "57P01", "57P05", "58000", "58030", "28000"):
            assert fault_of(errors.lookup(name)("x")) is not None, name


class TestTable:
    def test_says_for_every_kind_what_it_is_and_what_to_do(self) -> None:
        assert _FAULTS.keys() == set(Kind)
        for found in _FAULTS.values():
            assert found.text.endswith(".") and found.text.startswith("The database")
            assert found.advice and not found.advice.endswith(".")
            assert found.retry_after > 0

    def test_names_states_and_classes_only(self) -> None:
        assert {len(state) for state in _BY_STATE} == {2, 5}
        for state in _BY_STATE:
            if len(state) == 5:
                errors.lookup(state)


class TestWords:
    def test_are_one_short_line(self) -> None:
        error = psycopg.OperationalError("connection failed: refused\nMultiple connection attempts failed\n - host")
        assert short(error) == "connection failed: refused"
        assert short(psycopg.OperationalError("")) == "OperationalError"
        assert len(short(psycopg.OperationalError("x" * 5_000))) == 300

    def test_explain_the_fault_first(self) -> None:
        assert explained(errors.DiskFull("no space left")) == "the database's disk is full: no space left"
        assert explained(RuntimeError("boom")) == "the database failed: boom"
