"""What is the matter with the database when it refuses a statement through no fault of the statement. Pure.

One table maps SQLSTATEs (PostgreSQL documentation, appendix A) to kinds, and each kind to what callers and operators
are shown. A connection that could not be made has no SQLSTATE, because libpq does not hand it out: then the server's
words are looked for, in English as they come by default; without a known one the database cannot be reached.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import psycopg
from django.db import InterfaceError, OperationalError


class Kind(StrEnum):
    """In log lines and health checks."""

    READ_ONLY = "read-only"
    FULL = "disk-full"
    OUT_OF_MEMORY = "out-of-memory"
    NO_CONNECTIONS = "out-of-connections"
    STARTING = "starting"
    STOPPING = "shutting-down"
    FAILING = "failing"
    BUSY = "busy"
    SLOW = "too-slow"
    REFUSED = "access-refused"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind, what it means in one sentence, what an operator does about it, and when a caller may ask again."""

    kind: Kind
    text: str
    advice: str
    retry_after: int = 5

    @property
    def leaves_reads(self) -> bool:
        """Whether what only reads may well succeed all the same."""
        return self.kind in (Kind.READ_ONLY, Kind.FULL, Kind.OUT_OF_MEMORY)


_FAULTS: Final = {
    fault.kind: fault
    for fault in (
        Fault(
            Kind.READ_ONLY,
            "The database is read-only: it can be read, but not changed.",
            "a standby, or default_transaction_read_only: find the primary (target_session_attrs=read-write in"
            " DATABASE_URL), or ALTER DATABASE … RESET default_transaction_read_only",
            retry_after=30,
        ),
        Fault(
            Kind.FULL,
            "The database's disk is full.",
            "make room on the database's disk; look for replication slots that keep WAL, and forgotten files",
            retry_after=30,
        ),
        Fault(
            Kind.OUT_OF_MEMORY,
            "The database is out of memory.",
            "lower max_connections or work_mem, or give the database's host more memory",
        ),
        Fault(
            Kind.NO_CONNECTIONS,
            "The database has no connection left.",
            "raise max_connections or the role's CONNECTION LIMIT, or put web processes behind a pooler",
        ),
        Fault(Kind.STARTING, "The database is starting up.", "wait; after a crash it replays its log first"),
        Fault(
            Kind.STOPPING,
            "The database is shutting down, or an administrator ended the connection.",
            "start it again, if nobody else does",
        ),
        Fault(
            Kind.FAILING, "The database cannot read or write its files.", "look at its log, its disks and its backups"
        ),
        Fault(Kind.BUSY, "The database is busy: others hold what this needs.", "look at pg_locks for who holds them"),
        Fault(Kind.SLOW, "The database took too long.", "look at what else runs there, and at its statistics"),
        Fault(
            Kind.REFUSED,
            "The database refuses the account.",
            "correct user, password and database name in DATABASE_URL, or pg_hba.conf and the account's grants",
            retry_after=30,
        ),
        Fault(Kind.UNREACHABLE, "The database cannot be reached.", "start the database, or correct DATABASE_URL"),
    )
}

#: By SQLSTATE, then by its class (the first two characters).
_BY_STATE: Final = {
    "25006": Kind.READ_ONLY,
    "53100": Kind.FULL,
    "53200": Kind.OUT_OF_MEMORY,
    "53300": Kind.NO_CONNECTIONS,
    "53400": Kind.NO_CONNECTIONS,
    "53": Kind.OUT_OF_MEMORY,
    "57P01": Kind.STOPPING,
    "57P02": Kind.STOPPING,
    "57P03": Kind.STARTING,
    "57P04": Kind.REFUSED,
    "57P05": Kind.STOPPING,
    "57014": Kind.SLOW,
    "25P03": Kind.STOPPING,
    "25P04": Kind.SLOW,
    "55P03": Kind.BUSY,
    "40001": Kind.BUSY,
    "40P01": Kind.BUSY,
    "42501": Kind.REFUSED,
    "3D000": Kind.REFUSED,
    "28": Kind.REFUSED,
    "58": Kind.FAILING,
    "08": Kind.UNREACHABLE,
}
#: By what a server says before there is a session.
_BY_WORDS: Final = (
    (re.compile(r"too many (clients|connections)|remaining connection slots|no more connections"), Kind.NO_CONNECTIONS),
    (re.compile(r"starting up|recovery mode|not yet accepting|recovery state"), Kind.STARTING),
    (re.compile(r"shutting down|terminating connection"), Kind.STOPPING),
    (re.compile(r"session is read-only|is in hot standby|is not in hot standby"), Kind.READ_ONLY),
    (
        re.compile(
            r"authentication failed|no pg_hba.conf entry|not permitted|permission denied|no password supplied"
            r"|(role|database) \".*\" does not|not currently accepting connections"
        ),
        Kind.REFUSED,
    ),
)
_MAY_BE_AWAY: Final = (psycopg.OperationalError, psycopg.InterfaceError, OperationalError, InterfaceError)


def fault_of(error: BaseException) -> Fault | None:
    """The fault behind an exception, Django's or psycopg's, or wrapped in one of ours; None for anything else."""
    causes = list(_causes(error))
    for cause in causes:
        state: Any = getattr(cause, "sqlstate", None)
        if isinstance(state, str):
            kind = _BY_STATE.get(state) or _BY_STATE.get(state[:2])
            return _FAULTS[kind] if kind else None
    away = next((cause for cause in causes if isinstance(cause, _MAY_BE_AWAY)), None)
    return None if away is None else _FAULTS[_kind_of_words(str(away))]


def fault(kind: Kind) -> Fault:
    return _FAULTS[kind]


def kind_of(error: BaseException) -> str | None:
    """The kind of fault behind an exception, for a log line."""
    found = fault_of(error)
    return None if found is None else str(found.kind)


def leaves_reads(error: BaseException) -> bool:
    """Whether what only reads may well succeed all the same."""
    found = fault_of(error)
    return found is not None and found.leaves_reads


def explained(error: BaseException) -> str:
    """One line for whoever ran a command: what is the matter, and what the database said."""
    found = fault_of(error)
    sentence = "The database failed." if found is None else found.text
    return f"{sentence[:1].lower()}{sentence[1:-1]}: {short(error)}"


def short(error: BaseException) -> str:
    """The first line of what an error says, cut: the rest repeats it for each address that was tried."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Each once, also of an error that somebody raised `from` itself."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__


def _kind_of_words(words: str) -> Kind:
    return next((kind for pattern, kind in _BY_WORDS if pattern.search(words)), Kind.UNREACHABLE)


class DatabaseAway(Exception):
    """The statement may or may not have been executed: the connection broke, none could be made, or the server cannot
    write now. ``database_faults.fault_of`` says which.
    """


def backoff(failures: int) -> float:
    """Seconds to wait after ``failures`` (≥ 1) failed tries in a row: up to 2 s, jittered so that hosts spread out."""
    return float(min(2.0, 0.05 * 2 ** min(failures, 10))) * random.uniform(0.5, 1.0)  # noqa: S311
