"""Paths of workers, health, metrics and of this documentation."""

from __future__ import annotations

from typing import Final

from access_app.rights import Action
from scheduler_project.openapi.parts import (
    BODY_PROBLEMS,
    Json,
    answer,
    body,
    integer,
    operation,
    problem,
    query,
    schema,
)

_WORKER_ID: Final[Json] = {
    "name": "worker_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
}
_TEXT: Final[Json] = {"schema": {"type": "string"}}
_EXPOSITION: Final[Json] = answer("Prometheus text, or OpenMetrics where that is accepted.", None) | {
    "content": {"text/plain": _TEXT, "application/openmetrics-text": _TEXT}
}


def _public(operation_id: str, summary: str, answers: dict[int, Json]) -> Json:
    """An operation that needs no key; only a request that cannot be read is refused."""
    made = operation("health", operation_id, summary, answers)
    responses = {str(status): response for status, response in answers.items()} | problem(400)
    return made | {"security": [], "description": "No key needed.", "responses": responses}


PATHS: Final[Json] = {
    "/workers/{worker_id}/drain": {
        "parameters": [_WORKER_ID],
        "post": operation(
            "workers",
            "drainWorker",
            "Have a worker finish and stop",
            {
                202: answer(
                    "It is told with its next beat, within seconds.",
                    schema("WorkerDraining"),
                )
            },
            action=Action.WORKER_DRAIN,
            problems=(*BODY_PROBLEMS, 404),
            description="It takes nothing new, finishes or gives back what it has, and exits. Safe to repeat.",
            requestBody=body(schema("Empty"), required=False),
        ),
    },
    "/health/live": {"get": _public("isLive", "Is the process alive?", {200: answer("Yes.", schema("Liveness"))})},
    "/health/ready": {
        "get": _public(
            "isReady",
            "Can requests be served?",
            {
                200: answer("Yes. With a key also `checks`.", schema("Readiness")),
                503: answer("No.", schema("Readiness")),
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
                200: answer("UP, or DEGRADED without a live worker or scheduler.", schema("Health")),
                503: answer("DOWN.", schema("HealthDown")),
            },
        )
    },
    "/health/workers": {
        "get": operation(
            "workers",
            "listWorkers",
            "Live and recently lost workers",
            {200: answer("Each with its load and last heartbeat.", schema("WorkerList"))},
            action=Action.WORKER_READ,
        )
    },
    "/health/metrics": {
        "get": operation(
            "health",
            "getMetrics",
            "Figures of the last hours",
            {200: answer("Counts, success rate, percentiles, throughput by hour.", schema("Figures"))},
            parameters=[query("hours", "How many hours to look back.", integer(1, 720, default=24))],
        )
    },
    "/health/recovery": {
        "post": operation(
            "health",
            "recover",
            "Run system recovery",
            {200: answer("What it found and repaired, invariant checks included.", schema("Recovery"))},
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
                "While the database is away, a key that was valid within the last hour is still answered, with "
                "`task_scheduler_database_up 0`. 404 when METRICS_COLLECTION_ENABLED is false."
            ),
        )
    },
    "/schema": {
        "get": operation(
            "documentation",
            "getSchema",
            "This document",
            {
                200: answer("OpenAPI 3.1.", schema("Document"))
                | {"content": {f"application/{kind}": {"schema": schema("Document")} for kind in ("json", "yaml")}}
            },
            description="JSON, or YAML when `Accept` names it.",
            action=Action.SCHEMA_READ,
        )
    },
    "/docs": {
        "get": operation(
            "documentation",
            "getDocs",
            "This document, to read and to try",
            {
                200: answer("A page that needs no other site.", {"type": "string"}, media_type="text/html"),
                302: answer("A browser without a session is sent to the login page.", None, headers=("Location",)),
            },
            action=Action.SCHEMA_READ,
        )
    },
}
