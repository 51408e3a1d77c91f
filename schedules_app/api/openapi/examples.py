"""Examples of schedules shown in the documentation. A test checks each of them against its schema."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.schemas import Json

_ID: Final = "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071"
_TEMPLATE: Final[Json] = {
    "type": "HTTP",
    "payload": {"url": "https://example.com/report", "method": "POST"},
    "maxRetries": None,
    "queue": "default",
    "priority": 0,
    "timeoutMs": 300000,
    "correlationId": None,
    "concurrencyKey": None,
    "retry": None,
    "onWorkerLost": "retry",
}
NEW_SCHEDULES: Final[Json] = {
    "nightly": {
        "summary": "Every night, by the clock of Berlin, not twice at a time",
        "value": {
            "name": "nightly-report",
            "cron": "30 2 * * *",
            "timezone": "Europe/Berlin",
            "calendars": ["holidays"],
            "task": {"type": "HTTP", "payload": {"url": "https://example.com/report", "method": "POST"}},
        },
    },
    "interval": {
        "summary": "Every 90 seconds; after an outage up to 5 of the missed",
        "value": {
            "name": "poll",
            "intervalSeconds": 90,
            "misfire": {"policy": "run_all", "maxRuns": 5, "graceSeconds": 10},
            "overlap": "queue_one",
            "task": {"type": "DUMMY"},
        },
    },
    "batch": {
        "summary": "A batch every night: two extracts, and a load behind them",
        "value": {
            "name": "nightly-etl",
            "cron": "0 1 * * *",
            "overlap": "skip",
            "batch": {
                "name": "etl",
                "tasks": [
                    {"ref": "eu", "type": "HTTP", "payload": {"url": "https://example.com/extract/eu"}},
                    {"ref": "us", "type": "HTTP", "payload": {"url": "https://example.com/extract/us"}},
                    {"type": "HTTP", "payload": {"url": "https://example.com/load"}, "dependsOn": ["eu", "us"]},
                ],
                "onFailure": {"type": "HTTP", "payload": {"url": "https://example.com/page-somebody"}},
            },
        },
    },
    "rrule": {
        "summary": "The last weekday of each month at nine",
        "value": {
            "name": "month-end",
            "rrule": "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;BYHOUR=9;BYMINUTE=0;BYSECOND=0",
            "timezone": "America/New_York",
            "task": {"type": "DUMMY"},
        },
    },
}
SCHEDULE_ITEM: Final[Json] = {
    "id": _ID,
    "name": "nightly-report",
    "description": "",
    "enabled": True,
    "cron": "30 2 * * *",
    "intervalSeconds": None,
    "rrule": None,
    "timezone": "Europe/Berlin",
    "startAt": None,
    "endAt": None,
    "jitterSeconds": 0,
    "misfire": {"policy": "run_once", "maxRuns": 10, "graceSeconds": 60},
    "overlap": "skip",
    "dst": {"gap": "run_after", "fold": "once"},
    "calendars": ["holidays"],
    "explanation": "At 02:30 every day (Europe/Berlin)",
    "nextFireAt": "2030-03-31T01:00:00.000000Z",
    "lastFireAt": "2030-03-30T01:30:00.004000Z",
    "pausedAt": None,
    "pausedBy": "",
    "pauseReason": "",
    "idempotencyKey": None,
    "createdBy": "reports",
    "version": 1,
    "createdAt": "2030-01-31T10:59:59.998000Z",
    "updatedAt": "2030-01-31T10:59:59.998000Z",
}
SCHEDULE: Final[Json] = SCHEDULE_ITEM | {"task": _TEMPLATE, "batch": None, "callback": None}
PAGE: Final[Json] = {"page": 0, "size": 20, "totalElements": 1, "totalPages": 1, "first": True, "last": True}
SCHEDULE_PAGE: Final[Json] = {"content": [SCHEDULE_ITEM]} | PAGE
FIRE_PAGE: Final[Json] = {
    "content": [
        {
            "slot": "2030-03-30T01:30:00.000000Z",
            "lastSlot": None,
            "state": "FIRED",
            "dueAt": "2030-03-30T01:30:00.000000Z",
            "decidedAt": "2030-03-30T01:30:00.004000Z",
            "taskId": _ID,
            "batchId": None,
            "note": "",
        }
    ]
} | PAGE
PREVIEW: Final[Json] = {
    "fires": [
        {"at": "2030-03-31T01:00:00.000000Z", "local": "2030-03-31T03:00:00+02:00", "note": "DST_GAP"},
        {"at": "2030-04-01T00:30:00.000000Z", "local": "2030-04-01T02:30:00+02:00", "note": ""},
    ]
}
WHY: Final[Json] = {
    "reasons": [
        {
            "code": "PAUSED",
            "detail": "paused by ops at 2030-03-30 09:12 UTC: provider is down",
            "until": None,
            "links": {},
        },
        {
            "code": "NOT_DUE",
            "detail": "its next time is in the future",
            "until": "2030-03-31T01:00:00.000000Z",
            "links": {},
        },
    ]
}
BACKFILL: Final[Json] = {"from": "2030-03-01T00:00:00Z", "to": "2030-03-08T00:00:00Z", "limit": 100, "priority": -10}
BACKFILLED: Final[Json] = {
    "created": 1,
    "more": False,
    "content": [{"slot": "2030-03-02T01:30:00.000000Z", "taskId": _ID, "batchId": None}],
}
SIMULATION_REQUEST: Final[Json] = {
    "schedule": {"cron": "0 * * * *", "misfire": {"policy": "run_once"}},
    "from": "2030-01-01T00:00:00Z",
    "to": "2030-01-01T03:00:00Z",
    "outages": [{"from": "2030-01-01T00:30:00Z", "to": "2030-01-01T02:30:00Z"}],
}
SIMULATION: Final[Json] = {
    "slots": [
        {
            "slot": "2030-01-01T00:00:00.000000Z",
            "lastSlot": None,
            "state": "FIRED",
            "at": "2030-01-01T00:00:00.000000Z",
            "note": "",
        }
    ]
}
