"""Schemas of health, workers, figures and recovery: open ones, as they may grow without a new version of the API."""

from __future__ import annotations

from typing import Final

from monitoring_app.selectors import FRACTIONS
from scheduler_project.openapi.parts import (
    COUNT,
    ID,
    INSTANT,
    Json,
    array,
    listed,
    nullable,
    obj,
    open_obj,
    or_null,
    schema,
    string_map,
)
from tasks_app.states import ExecutionStatus

_NUMBER: Final[Json] = {"type": "number"}
_TEXT: Final[Json] = {"type": "string"}
_OUTCOMES: Final[Json] = {
    "attempts": COUNT,
    "byOutcome": schema("OutcomeCounts"),
    "successRate": nullable("number", minimum=0, maximum=1),
    "durationMs": or_null("Percentiles"),
    "startDelayMs": or_null("Percentiles"),
}

SCHEMAS: Final[Json] = {
    "Liveness": obj({"status": _TEXT | {"const": "UP"}}),
    "Readiness": open_obj(
        {"status": schema("HealthStatus"), "checks": schema("HealthChecks")},
        required=["status"],
        description="`checks` are for callers with a key.",
    ),
    "Health": open_obj(
        {
            "status": schema("HealthStatus"),
            "checks": schema("HealthChecks"),
            "version": _TEXT,
            "uptimeSeconds": _NUMBER,
        },
        required=["status", "checks", "version", "uptimeSeconds"],
    ),
    "HealthDown": open_obj(
        {"status": schema("HealthStatus"), "checks": schema("HealthChecks")},
        required=["status"],
        description="Only the status, when not even the key could be looked up.",
    ),
    "HealthCheck": open_obj({"status": schema("HealthStatus")}, required=["status"], description="And its figures."),
    "HealthChecks": {"type": "object", "additionalProperties": schema("HealthCheck"), "description": "By name."},
    "Worker": open_obj(
        {
            "workerId": ID,
            "name": _TEXT,
            "state": schema("WorkerState"),
            "host": _TEXT,
            "pid": {"type": "integer"},
            "version": _TEXT,
            "queues": {"type": ["array", "null"], "items": _TEXT, "description": "null: every queue."},
            "labels": schema("Labels"),
            "slots": COUNT,
            "prefetch": COUNT,
            "assigned": COUNT,
            "running": COUNT,
            "startedAt": INSTANT,
            "lastHeartbeatAt": INSTANT,
            "heartbeatAgeSeconds": _NUMBER,
            "stateChangedAt": INSTANT,
        },
        required=["workerId", "name", "state", "host", "pid", "slots", "running", "lastHeartbeatAt"],
    ),
    "Labels": string_map(description="By name."),
    "WorkerList": listed(schema("Worker")),
    "WorkerDraining": obj({"workerId": ID, "state": schema("WorkerState")}),
    "Percentiles": obj(dict.fromkeys(FRACTIONS, _NUMBER), description="In milliseconds."),
    "OutcomeCounts": open_obj({str(status): COUNT for status in ExecutionStatus}),
    "TypeFigures": open_obj(_OUTCOMES, required=list(_OUTCOMES)),
    "FiguresByType": {"type": "object", "additionalProperties": schema("TypeFigures")},
    "HourFigures": open_obj({"hour": INSTANT, "attempts": COUNT, "succeeded": COUNT}, required=["hour", "attempts"]),
    "Figures": open_obj(
        {
            "hours": COUNT,
            "from": INSTANT,
            "to": INSTANT,
            "sampled": {"type": "boolean", "description": "Whether the counts are scaled up from a sample."},
            "sampleSize": COUNT,
            **_OUTCOMES,
            "retries": COUNT,
            "byType": schema("FiguresByType"),
            "throughputByHour": array(schema("HourFigures")),
        },
        required=["hours", "from", "to", "attempts", "byOutcome", "successRate", "byType", "throughputByHour"],
    ),
    "RecoveredTasks": open_obj(
        {"handedBack": COUNT, "retried": COUNT, "failed": COUNT, "cancelled": COUNT},
        required=["handedBack", "retried", "failed", "cancelled"],
    ),
    "Violations": {"type": "object", "additionalProperties": COUNT, "description": "How many, by promise."},
    "Invariants": open_obj(
        {
            "ok": {"type": "boolean"},
            "violations": schema("Violations"),
        },
        required=["ok", "violations"],
    ),
    "Recovery": open_obj(
        {
            "workersMarkedDead": array(ID),
            "tasksRecovered": schema("RecoveredTasks"),
            "invariants": schema("Invariants"),
            "durationMs": _NUMBER,
        },
        required=["workersMarkedDead", "tasksRecovered", "invariants", "durationMs"],
    ),
    "Document": open_obj({"openapi": _TEXT}, required=["openapi"], description="This document."),
}
