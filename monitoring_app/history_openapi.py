"""What the document says of history."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from access_app.http.openapi.lists import parameters_of
from access_app.http.openapi.operations import operation, response
from access_app.http.openapi.schemas import COUNT, INSTANT, Json, array, nullable, obj, open_obj, or_null, schema
from monitoring_app.history import STEPS
from monitoring_app.history_api import HistoryQuery

_ENDED: Final[Json] = {
    "attempts": COUNT,
    "byOutcome": schema("OutcomeCounts"),
    "retries": COUNT | {"description": "Attempts that failed or timed out, of which another is to follow."},
    "failedTasks": COUNT | {"description": "Attempts with which a task ended as FAILED."},
    "startDelayMs": or_null("Percentiles"),
    "durationMs": or_null("Percentiles"),
}

SCHEMAS: Final[Json] = {
    "StepSeconds": {"type": "integer", "enum": [step // timedelta(seconds=1) for step in STEPS]},
    "HistoryOfType": open_obj(_ENDED, required=list(_ENDED)),
    "HistoryByType": {"type": "object", "additionalProperties": schema("HistoryOfType")},
    "HistoryOfQueue": open_obj(
        {
            "attempts": COUNT,
            "waiting": nullable("integer", minimum=0) | {"description": "The most at a look a minute; null: no look."},
            "oldestDueSeconds": nullable("number", minimum=0) | {"description": "The longest wait past its time."},
        },
        required=["attempts", "waiting", "oldestDueSeconds"],
    ),
    "HistoryByQueue": {
        "type": "object",
        "additionalProperties": schema("HistoryOfQueue"),
        "description": "In each hour a hundred queues have a name; the rest is `_other`.",
    },
    "UsedSlots": obj({"used": COUNT, "available": COUNT}, description="The most at a look a minute."),
    "HistoryStep": open_obj(
        {
            "at": INSTANT,
            **_ENDED,
            "byType": schema("HistoryByType"),
            "byQueue": schema("HistoryByQueue"),
            "slots": or_null("UsedSlots"),
        },
        required=["at", *_ENDED, "byType", "byQueue", "slots"],
    ),
    "History": open_obj(
        {
            "from": INSTANT,
            "to": INSTANT,
            "stepSeconds": COUNT,
            "relativeError": {
                "type": "number",
                "description": "How far a percentile may be from the true one, relative to it; 0.5 ms below 1 ms.",
            },
            "content": array(schema("HistoryStep")),
        },
        required=["from", "to", "stepSeconds", "relativeError", "content"],
    ),
}
PATHS: Final[Json] = {
    "/health/history": {
        "get": operation(
            "health",
            "getHistory",
            "What a time was like, step by step",
            {200: response("Each step, also those in which nothing ended, oldest first.", schema("History"))},
            description=(
                "Read from what schedulers keep of each minute, for 30 days: it costs the same at any load. The last "
                "half minute may not be in it yet. Counts are exact; `relativeError` is that of percentiles."
            ),
            parameters=parameters_of(HistoryQuery),
        )
    },
}
