"""Is it well? Readiness and health as values: a `Report` of named checks, as good as the worst of them.

UP: works. DEGRADED: nothing is lost, but tasks wait. DOWN: the database or its tables are not there. No HTTP here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import psutil
import structlog
from django.db import DatabaseError, InterfaceError, connection

from access_app.database_faults import Fault, Kind, fault, fault_of, short
from access_app.migrations_state import MadeBefore, pending_migrations
from access_app.patience import TooSlow
from monitoring_app import selectors
from monitoring_app.selectors import Survey
from tasks_app.states import TaskStatus

log = structlog.get_logger(__name__)
#: What a database that is away, or is going away, raises.
DATABASE_ERRORS: Final = (DatabaseError, InterfaceError)
#: Seconds for which a failed write counts: afterwards another one has to show that it is still so.
NOTED_FOR: Final = 30.0
_migrated = False
_noted: tuple[float, Fault] | None = None


class Status(StrEnum):
    """In this order: a report is as bad as its worst check."""

    UP = "UP"
    DEGRADED = "DEGRADED"
    DOWN = "DOWN"


@dataclass(frozen=True, slots=True)
class Check:
    status: Status
    facts: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"status": self.status, **self.facts}


@dataclass(frozen=True, slots=True)
class Report:
    checks: dict[str, Check]

    @property
    def status(self) -> Status:
        return max((check.status for check in self.checks.values()), key=list(Status).index)

    @property
    def is_available(self) -> bool:
        return self.status is not Status.DOWN

    def checks_json(self) -> dict[str, Any]:
        return {name: check.to_json() for name, check in self.checks.items()}


def uptime() -> float:
    """Seconds since this process started."""
    return time.time() - psutil.Process().create_time()


def readiness() -> Report:
    """Whether requests can be served: the database can be read, and all migrations are applied."""
    checks = {"database": _database()}
    if checks["database"].status is Status.UP:
        checks["migrations"] = _migrations()
    return Report(checks)


def health() -> Report:
    """Readiness, and whether somebody assigns and executes what is due."""
    ready = readiness()
    if not ready.is_available:
        return ready
    try:
        survey = selectors.survey()
    except TooSlow:
        return Report(ready.checks | {"queue": Check(Status.DEGRADED, {"error": "the survey took too long"})})
    except DATABASE_ERRORS as error:
        return Report({"database": _down(error)})
    database = Check(Status.UP, ready.checks["database"].facts | _connections(survey))
    freezes = Check(Status.UP, {"open": survey.freezes, "waiting": survey.frozen})  # what people want is no fault
    return Report(
        {**ready.checks, "database": database, **_processes(survey), "queue": _queue(survey), "freezes": freezes}
    )


def note_fault(fault: Fault) -> None:
    """A write has just failed for a reason that no read would meet, such as a full disk."""
    global _noted
    if fault.leaves_reads:
        _noted = (time.monotonic(), fault)


def _database() -> Check:
    try:
        seconds, read_only = selectors.round_trip()
    except DATABASE_ERRORS as error:
        return _down(error)
    if read_only:
        return _down_by(fault(Kind.READ_ONLY))
    if _noted is not None and _noted[1].kind is not Kind.READ_ONLY and time.monotonic() - _noted[0] < NOTED_FOR:
        return Check(Status.DOWN, _facts(_noted[1]))
    return Check(Status.UP, {"latencyMs": round(seconds * 1000, 2)})


def _down(error: Exception) -> Check:
    return _down_by(fault_of(error) or fault(Kind.UNREACHABLE), error)


def _down_by(found: Fault, error: Exception | None = None) -> Check:
    # What the database says names hosts and users: it goes to the log, not into a response.
    log.warning("database_unavailable", kind=str(found.kind), error=None if error is None else short(error))
    connection.close()  # a broken connection must not be what the next request finds; nor one to a standby
    return Check(Status.DOWN, _facts(found))


def _facts(found: Fault) -> dict[str, Any]:
    return {"kind": str(found.kind), "error": found.text}


def _migrations() -> Check:
    """Looked at until they are all applied; this process's code then never needs another look."""
    global _migrated
    if not _migrated:
        try:
            pending = pending_migrations()
        except MadeBefore as error:
            return Check(Status.DOWN, {"error": str(error)})
        except DATABASE_ERRORS as error:
            return _down(error)
        if pending:
            return Check(Status.DOWN, {"pending": pending})
        _migrated = True
    return Check(Status.UP, {})


def _connections(survey: Survey) -> dict[str, Any]:
    return {
        "serverVersion": survey.server_version,
        "connectionsUsed": survey.connections_used,
        "connectionsAllowed": survey.connections_allowed,
    }


def _processes(survey: Survey) -> dict[str, Check]:
    return {
        "schedulers": Check(_up_if(survey.schedulers), {"alive": survey.schedulers}),
        "workers": Check(
            _up_if(survey.live), {"live": survey.live, "slots": survey.slots, "busy": min(survey.running, survey.slots)}
        ),
    }


def _queue(survey: Survey) -> Check:
    depth = {
        TaskStatus.PENDING: survey.waiting,
        TaskStatus.SCHEDULED: survey.scheduled,
        TaskStatus.RUNNING: survey.running,
    }
    age = survey.oldest_due_age
    facts = {
        "depth": {str(status): n for status, n in depth.items()},
        "depthIsEstimate": survey.waiting_is_estimate,
        "oldestDueAgeSeconds": None if age is None else round(age, 3),
    }
    return Check(Status.UP, facts)


def _up_if(count: int) -> Status:
    return Status.UP if count else Status.DEGRADED
