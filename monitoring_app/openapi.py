"""What `monitoring_app` documents of the API: health, live workers, figures, recovery, metrics, marks.

Its schemas are open ones, as figures may grow without a new version of the API.
"""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.chapters import Chapter
from access_app.http.openapi.lists import parameters_of
from access_app.http.openapi.operations import BODY_PROBLEMS, body, operation, problem, response
from access_app.http.openapi.schemas import (
    COUNT,
    ID,
    INSTANT,
    Json,
    array,
    closed_set,
    listed,
    nullable,
    obj,
    open_obj,
    or_null,
    schema,
    string_map,
)
from access_app.rights import Action
from monitoring_app import history_openapi, mark_openapi
from monitoring_app.health import Status
from monitoring_app.histograms import FRACTIONS
from monitoring_app.queries import DemandQuery, FiguresQuery
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
_PLAIN: Final[Json] = {"schema": _TEXT}
_EXPOSITION: Final[Json] = response("Prometheus text, or OpenMetrics where that is accepted.", None) | {
    "content": {"text/plain": _PLAIN, "application/openmetrics-text": _PLAIN}
}

_SCHEMAS: Final[Json] = {
    "HealthStatus": closed_set(Status, "DEGRADED: nothing is lost, but tasks wait."),
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
    "Demand": open_obj(
        {
            "slots": COUNT | {"description": "Of the live workers that are meant."},
            "running": COUNT | {"description": "Tasks assigned or running."},
            "startable": COUNT | {"description": "Due tasks that more workers like those could start."},
            "soon": COUNT | {"description": "Tasks that could once they fall due, within the horizon."},
            "blocked": schema("BlockedCounts"),
            "workersWanted": COUNT | {"description": "Workers for `running`, `startable` and `soon`, by their slots."},
            "atLeast": {"type": "boolean", "description": "There is more than was counted."},
        },
        required=["slots", "running", "startable", "soon", "blocked", "workersWanted", "atLeast"],
    ),
    "BlockedCounts": {
        "type": "object",
        "additionalProperties": COUNT,
        "description": "How many due tasks no worker helps, by the code of `why`.",
    },
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
}


def _public(operation_id: str, summary: str, responses: dict[int, Json]) -> Json:
    """An operation that needs no key; only a request that cannot be read is refused."""
    made = operation("health", operation_id, summary, responses)
    named = {str(status): each for status, each in responses.items()} | problem(400)
    return made | {"security": [], "description": "No key needed.", "responses": named}


_PATHS: Final[Json] = {
    "/health/live": {"get": _public("isLive", "Is the process alive?", {200: response("Yes.", schema("Liveness"))})},
    "/health/ready": {
        "get": _public(
            "isReady",
            "Can requests be served?",
            {
                200: response("Yes. With a key also `checks`.", schema("Readiness")),
                503: response("No.", schema("Readiness")),
            },
        )
        | {"security": [{}, {"apiKey": []}, {"adminSession": []}]}
    },
    "/health": {
        "get": operation(
            "health",
            "getHealth",
            "How is everything?",
            {
                200: response("UP, or DEGRADED without a live worker or scheduler.", schema("Health")),
                503: response("DOWN.", schema("HealthDown")),
            },
        )
    },
    "/health/workers": {
        "get": operation(
            "workers",
            "listWorkers",
            "Live and recently lost workers",
            {200: response("Each with its load and last heartbeat.", schema("WorkerList"))},
            action=Action.WORKER_READ,
        )
    },
    "/health/metrics": {
        "get": operation(
            "health",
            "getMetrics",
            "Figures of the last hours",
            {200: response("Counts, success rate, percentiles, throughput by hour.", schema("Figures"))},
            parameters=parameters_of(FiguresQuery),
        )
    },
    "/health/demand": {
        "get": operation(
            "health",
            "getDemand",
            "How many workers would help now",
            {200: response("What could start, what holds the rest, and how many workers that is.", schema("Demand"))},
            description="For autoscalers. A task that a pause, a limit, a key or another gate holds is no demand.",
            parameters=parameters_of(DemandQuery),
        )
    },
    "/health/recovery": {
        "post": operation(
            "health",
            "recover",
            "Run system recovery",
            {200: response("What it found and repaired, invariant checks included.", schema("Recovery"))},
            action=Action.RECOVERY_RUN,
            problems=BODY_PROBLEMS,
            description="Safe to repeat, and safe while everything is running.",
            requestBody=body(schema("Empty"), required=False),
        )
    },
    "/metrics": {
        "get": operation(
            "health",
            "getPrometheusMetrics",
            "Metrics for Prometheus",
            {200: _EXPOSITION},
            problems=(404,),
            description=(
                "While the database is away, a key that was valid within the last hour is still served, with "
                "`task_scheduler_database_up 0`. 404 when METRICS_COLLECTION_ENABLED is false."
            ),
        )
    },
}


def chapter() -> Chapter:
    return Chapter(
        {**_PATHS, **history_openapi.PATHS, **mark_openapi.PATHS},
        {**_SCHEMAS, **history_openapi.SCHEMAS, **mark_openapi.SCHEMAS},
        {"health": "Is it running, and how well.", "marks": "Instants with a name, such as deploys, for charts."},
    )
