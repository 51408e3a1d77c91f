"""Examples shown in the documentation. A test checks each of them against its schema."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.schemas import Json

_ID: Final = "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071"
_WORKER: Final = "0f0e0d0c-0b0a-4908-8706-050403020100"

TASK_ITEM: Final[Json] = {
    "id": _ID,
    "type": "DUMMY",
    "status": "SUCCESS",
    "queue": "default",
    "priority": 0,
    "scheduleAt": "2030-01-31T11:00:00.000000Z",
    "batchId": None,
    "scheduleId": None,
    "scheduledFor": None,
    "nextRunAt": "2030-01-31T11:00:00.000000Z",
    "maxRetries": 3,
    "retryCount": 0,
    "crashCount": 0,
    "attempt": 1,
    "timeoutMs": 300000,
    "expiresAt": None,
    "retry": {"backoff": "exponential", "baseDelayMs": 1000, "maxDelayMs": 300000, "jitter": True},
    "onWorkerLost": "retry",
    "correlationId": "order-17",
    "concurrencyKey": None,
    "fairKey": None,
    "uniqueKey": None,
    "requiredLabels": None,
    "slots": 1,
    "taskToken": False,
    "idempotencyKey": None,
    "createdBy": "shop",
    "workerId": _WORKER,
    "version": 4,
    "cancelRequestedAt": None,
    "createdAt": "2030-01-31T10:59:59.998000Z",
    "updatedAt": "2030-01-31T11:00:00.512000Z",
    "assignedAt": "2030-01-31T11:00:00.004000Z",
    "startedAt": "2030-01-31T11:00:00.009000Z",
    "finishedAt": "2030-01-31T11:00:00.512000Z",
    "error": None,
}
TASK: Final[Json] = TASK_ITEM | {
    "payload": {"sleepDurationMs": 500},
    "approval": None,
    "result": {"sleptMs": 500},
}
PAGE: Final[Json] = {
    "content": [TASK_ITEM],
    "page": 0,
    "size": 20,
    "totalElements": 1,
    "totalPages": 1,
    "first": True,
    "last": True,
}
BULK_REQUEST: Final[Json] = {"tasks": [{"type": "DUMMY"}, {"type": "DUMMY", "priority": 1000}]}
BULK_RESULT: Final[Json] = {
    "created": 1,
    "existing": 0,
    "failed": 1,
    "items": [
        {"id": _ID},
        {"errors": [{"field": "priority", "message": "must be a whole number from -100 to 100"}]},
    ],
}
EVENTS: Final[Json] = {
    "content": [
        {
            "at": "2030-01-31T10:59:59.998000Z",
            "from": None,
            "to": "PENDING",
            "actor": "shop",
            "reason": "created",
            "attempt": 0,
        }
    ]
}
DEPENDENCIES: Final[Json] = {
    "runIf": "all_success",
    "otherwise": "cancel",
    "content": [{"taskId": _ID, "outcome": "SUCCESS"}],
}
PROGRESS: Final[Json] = {
    "attempt": 1,
    "percent": 25,
    "done": 30,
    "total": 120,
    "note": "page 30",
    "reportedAt": "2030-01-31T06:00:01.000000Z",
}
INPUTS: Final[Json] = {
    "attempt": 1,
    "content": [
        {
            "field": "payload.body.rows",
            "taskId": _ID,
            "attempt": 1,
            "path": "/body/rows",
            "origin": "result",
            "value": [17, 4],
        }
    ],
}
EXECUTIONS: Final[Json] = {
    "content": [
        {
            "attempt": 1,
            "workerId": _WORKER,
            "status": "SUCCESS",
            "startedAt": "2030-01-31T11:00:00.009000Z",
            "finishedAt": "2030-01-31T11:00:00.512000Z",
            "durationMs": 503,
            "result": {"sleptMs": 500},
            "error": None,
            "late": None,
        }
    ]
}
