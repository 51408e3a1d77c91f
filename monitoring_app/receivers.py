"""What happened becomes log lines: the only listeners of ``tasks_app.signals`` and ``schedules_app.signals``.

Ordinary tasks, failed ones too, are INFO: at WARNING a healthy system writes nothing. A lost worker, a late result and
a quarantined task are WARNING. Batches can be large: a receiver whose level is off returns before it looks at them.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog
from django.dispatch import Signal, receiver
from django.http import HttpRequest
from django_structlog.signals import bind_extra_request_finished_metadata, bind_extra_request_metadata

from access_app.database_faults import Fault
from access_app.signals import database_failed
from monitoring_app import health
from schedules_app import signals as schedule_signals
from schedules_app.batches import FireReport
from tasks_app import signals
from tasks_app.signals import EndedAttempt, RecoveredTask
from tasks_app.states import ErrorCode, ExecutionStatus, TaskStatus

#: The whole message is on the execution; a log line needs enough to recognise it.
LONGEST_MESSAGE = 500

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
_logger = logging.getLogger(__name__)


@receiver(signals.attempt_ended)
def log_attempts_ended(worker_id: Any, records: Iterable[EndedAttempt], **_: Any) -> None:
    if _logger.isEnabledFor(logging.INFO):
        for record in records:
            log.info("attempt_ended", **_attempt(worker_id, record))


@receiver(signals.attempts_late)
def log_attempts_late(worker_id: Any, records: Iterable[EndedAttempt], **_: Any) -> None:
    if _logger.isEnabledFor(logging.WARNING):
        for record in records:
            log.warning("attempt_late", **_attempt(worker_id, record))


@receiver(signals.tasks_recovered)
def log_tasks_recovered(rows: Sequence[RecoveredTask], scheduler_id: Any = None, **_: Any) -> None:
    if _logger.isEnabledFor(logging.INFO):
        for task in rows:
            if task.was == TaskStatus.RUNNING:
                log.info("attempt_ended", **_ids(task), status=str(ExecutionStatus.LOST), next_status=task.next_status)
        went = Counter(f"{task.was.lower()}_to_{task.next_status.lower()}" for task in rows)
        log.info("tasks_recovered", tasks=len(rows), **went, **_named(scheduler_id=scheduler_id))
    for task in rows:
        if task.end_reason == ErrorCode.QUARANTINED:
            log.warning("task_quarantined", **_ids(task))


@receiver(schedule_signals.schedules_fired)
def log_schedules_fired(report: FireReport, **_: Any) -> None:
    if _logger.isEnabledFor(logging.INFO):
        states = {state.lower(): count for state, count in report.states.items()}
        lateness = round(report.lateness, 3)
        log.info("schedules_fired", schedules=report.schedules, tasks=report.tasks, lateness_s=lateness, **states)


@receiver(signals.system_recovered)
def log_system_recovered(report: Any, actor: Any = None, **_: Any) -> None:
    log.info("system_recovered", report=report.to_json(), **_named(actor=actor))


@receiver(signals.process_stats)
def log_process_stats(role: str, process_id: Any, stats: Mapping[str, Any], **_: Any) -> None:
    # Statistics first, so that one of them cannot take the place of a name.
    log.info("stats", **{**stats, "role": role, f"{role}_id": str(process_id)})


@receiver(database_failed)
def note_database_fault(fault: Fault, **_: Any) -> None:
    health.note_fault(fault)


def _log_lifecycle(event: str, level: int, signal: Signal) -> None:
    """Give a signal about a process one line, with everything it carries."""

    def listen(sender: Any = None, signal: Any = None, **facts: Any) -> None:
        log.log(level, event, **_named(**facts))

    signal.connect(listen, weak=False, dispatch_uid=f"{__name__}.{event}")


_log_lifecycle("worker_registered", logging.INFO, signals.worker_registered)
_log_lifecycle("worker_lost", logging.WARNING, signals.worker_lost)
_log_lifecycle("worker_stopped", logging.INFO, signals.worker_stopped)
_log_lifecycle("scheduler_started", logging.INFO, signals.scheduler_started)
_log_lifecycle("scheduler_stopped", logging.INFO, signals.scheduler_stopped)


@receiver(bind_extra_request_metadata)
def note_request_start(request: HttpRequest, **_: Any) -> None:
    request.started_at = time.perf_counter()  # type: ignore[attr-defined]  # read below, by nobody else


@receiver(bind_extra_request_finished_metadata)
def add_request_duration(request: HttpRequest, log_kwargs: dict[str, Any], **_: Any) -> None:
    if started_at := getattr(request, "started_at", None):
        log_kwargs["duration_ms"] = round((time.perf_counter() - started_at) * 1000, 1)


def _attempt(worker_id: Any, record: EndedAttempt) -> dict[str, Any]:
    facts = {
        "task_id": str(record.task_id),
        "attempt": record.attempt,
        "worker_id": str(worker_id),
        "correlation_id": record.correlation_id,
        "type": record.type,
        "status": str(record.status),
        "next_status": None if record.next_status is None else str(record.next_status),
        "duration_s": round(record.duration_s, 3),
    }
    if record.error_code is not None:
        facts["error_code"] = str(record.error_code)
        facts["error_message"] = (record.error_message or "")[:LONGEST_MESSAGE]
    return facts


def _ids(task: RecoveredTask) -> dict[str, Any]:
    return {
        "task_id": str(task.task_id),
        "attempt": task.attempt,
        "worker_id": str(task.worker_id),
        "correlation_id": task.correlation_id,
    }


def _named(**facts: Any) -> dict[str, Any]:
    """Facts without those nobody gave; numbers stay numbers."""
    return {
        name: value if isinstance(value, (int, float, list, dict)) else str(value)
        for name, value in facts.items()
        if value is not None
    }
