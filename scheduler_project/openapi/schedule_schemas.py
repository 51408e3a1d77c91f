"""Schemas of schedules and calendars, with the limits of the code in them."""

from __future__ import annotations

from typing import Any, Final

from scheduler_project.openapi.components import SCHEMAS as TASK_SCHEMAS
from scheduler_project.openapi.parts import (
    COUNT,
    ID,
    INSTANT,
    INSTANT_OR_NULL,
    NAME,
    Json,
    integer,
    nullable,
    obj,
    schema,
)
from schedules_app import manual_runs, new_schedules, selectors, simulation
from schedules_app.api.inputs import MAX_OUTAGES
from schedules_app.calendars import MAX_RANGES, WEEKDAYS, OnBlackout
from schedules_app.firing_rules import FireState, Misfire, Overlap
from schedules_app.recurrence import DstFold, DstGap
from tasks_app.api.listing import MAX_SIZE
from tasks_app.texts import MAX_REASON

_VERSION: Final[Json] = {"type": "integer", "minimum": 1}
_DESCRIPTION: Final[Json] = {"type": "string", "maxLength": new_schedules.MAX_DESCRIPTION}
_TIMEZONE: Final[Json] = {"type": "string", "description": "A name of the IANA time zone database."}
_CRON: Final = "Five fields, names, `@daily` and friends; with six fields the first is seconds."
_RRULE: Final = "An RRULE of RFC 5545 without DTSTART, which is startAt, or else the creation."


def _choice(choices: Any, **more: Any) -> Json:
    return {"type": "string", "enum": list(map(str, choices)), **more}


#: What somebody chooses about a schedule, but for its template; the defaults are those of a new one.
_CHOICES: Final[Json] = {
    "name": NAME,
    "description": _DESCRIPTION | {"default": ""},
    "enabled": {"type": "boolean", "default": True},
    "cron": nullable("string", description=_CRON),
    "intervalSeconds": nullable(
        "integer", minimum=1, maximum=31_536_000, description="Elapsed time, counted from startAt or the creation."
    ),
    "rrule": nullable("string", maxLength=1000, description=_RRULE),
    "timezone": _TIMEZONE | {"default": "UTC"},
    "startAt": INSTANT_OR_NULL,
    "endAt": INSTANT_OR_NULL,
    "jitterSeconds": integer(
        0, new_schedules.MAX_JITTER_SECONDS, default=0, description="Each slot is late by up to this, always the same."
    ),
    "misfire": schema("Misfire"),
    "overlap": _choice(Overlap, default="skip"),
    "dst": schema("Dst"),
    "calendars": {"type": "array", "items": NAME, "maxItems": new_schedules.MAX_CALENDARS, "default": []},
}
_READ_ONLY: Final[Json] = {
    "id": ID,
    "explanation": nullable("string", description="Its times in words; null when they are not understood any more."),
    "nextFireAt": INSTANT_OR_NULL | {"description": "When the next slot is decided: with its jitter."},
    "lastFireAt": INSTANT_OR_NULL | {"description": "When it last made a task by itself."},
    "pausedAt": INSTANT_OR_NULL,
    "pausedBy": {"type": "string"},
    "pauseReason": {"type": "string"},
    "idempotencyKey": nullable("string"),
    "createdBy": {"type": "string", "description": "The name of the API key, or user:NAME."},
    "version": _VERSION | {"description": "Grows with every edit, not with a fire; also the ETag."},
    "createdAt": INSTANT,
    "updatedAt": INSTANT,
}
_TIMES: Final = {"scheduleAt", "expiresAt"}
_TEMPLATE: Final[Json] = {
    name: value for name, value in TASK_SCHEMAS["NewTask"]["properties"].items() if name not in _TIMES
}
_CALENDAR: Final[Json] = {
    "name": NAME,
    "description": _DESCRIPTION | {"default": ""},
    "timezone": _TIMEZONE | {"default": "UTC"},
    "onBlackout": _choice(OnBlackout, default="skip", description="What becomes of a slot that falls in."),
    "ranges": {"type": "array", "items": schema("BlackoutRange"), "minItems": 1, "maxItems": MAX_RANGES},
}
_TIME: Final[Json] = {"type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]$"}
_OUTAGE: Final = obj({"from": INSTANT, "to": INSTANT})
_LAST_SLOT: Final = INSTANT_OR_NULL | {"description": "Then it stands for all slots up to this one: a long outage."}


def _pages(name: str) -> Json:
    """Schemas of numbered and of keyset pages of something: those of tasks with other items."""
    pages = {}
    for kind in ("Page", "CursorPage"):
        page = TASK_SCHEMAS[f"Task{kind}"]
        content = {"type": "array", "items": schema(name), "maxItems": MAX_SIZE}
        pages[f"{name}{kind}"] = page | {"properties": page["properties"] | {"content": content}}
    return pages


SCHEMAS: Final[Json] = {
    "Misfire": obj(
        {
            "policy": _choice(Misfire, default="run_once", description="What becomes of missed slots."),
            "maxRuns": integer(1, new_schedules.MAX_RUNS, default=10, description="For run_all: the newest so many."),
            "graceSeconds": integer(
                0, new_schedules.MAX_GRACE_SECONDS, default=60, description="A slot this late is not missed yet."
            ),
        },
        required=[],
    ),
    "Dst": obj(
        {
            "gap": _choice(DstGap, default="run_after", description="A fixed time that the clock jumps over."),
            "fold": _choice(DstFold, default="once", description="A fixed time that the clock shows twice."),
        },
        required=[],
    ),
    "TaskTemplate": obj(
        _TEMPLATE, required=["type"], description="What `POST /tasks` takes, but for times: a slot is the time."
    ),
    "NewSchedule": obj(
        _CHOICES | {"task": schema("TaskTemplate")},
        required=["name", "task"],
        description="Exactly one of `cron`, `intervalSeconds` and `rrule`.",
    ),
    "ScheduleChanges": obj(
        _CHOICES | {"task": obj(_TEMPLATE, required=[])},
        required=[],
        minProperties=1,
        description="What is absent stays, also inside `misfire`, `dst` and `task`; `payload` and `retry` are replaced "
        "whole. Another kind of times replaces the one there was.",
    ),
    "Schedule": obj(
        _CHOICES | _READ_ONLY | {"task": schema("TaskTemplate")},
        description="Without the `payload` of `task` for a caller that may not read schedules (`schedules:read`).",
    ),
    "ScheduleItem": obj(_CHOICES | _READ_ONLY, description="A schedule in a list: without its template."),
    **_pages("ScheduleItem"),
    "Reason": obj({"reason": {"type": "string", "maxLength": MAX_REASON}}, required=[]),
    "Clone": obj({"name": NAME}),
    "Fire": obj(
        {
            "slot": INSTANT | {"description": "The intended time."},
            "lastSlot": _LAST_SLOT,
            "state": _choice(FireState),
            "dueAt": INSTANT | {"description": "The intended time with its jitter."},
            "decidedAt": INSTANT,
            "taskId": nullable("string", format="uuid"),
            "note": {"type": "string"},
        }
    ),
    **_pages("Fire"),
    "Preview": obj(
        {
            "fires": {
                "type": "array",
                "maxItems": selectors.MAX_PREVIEW,
                "items": obj(
                    {
                        "at": INSTANT,
                        "local": INSTANT | {"description": "With the offset of the zone."},
                        "note": {"type": "string", "description": "DST_GAP, DST_FOLD, or the blackout it falls into."},
                    }
                ),
            }
        }
    ),
    "ScheduleWhy": obj({"reasons": TASK_SCHEMAS["Why"]["properties"]["reasons"]}),
    "BackfillRequest": obj(
        {
            "from": INSTANT,
            "to": INSTANT,
            "limit": integer(1, manual_runs.MAX_BACKFILL, default=manual_runs.MAX_BACKFILL),
            "priority": nullable("integer", minimum=-100, maximum=100, description="Instead of the template's."),
        },
        required=["from", "to"],
    ),
    "BackfillAnswer": obj(
        {
            "created": COUNT,
            "more": {"type": "boolean", "description": "The window holds others that did not run."},
            "content": {"type": "array", "items": obj({"slot": INSTANT, "taskId": ID})},
        }
    ),
    "SimulationRequest": obj(
        {
            "schedule": obj(
                _CHOICES | {"task": schema("TaskTemplate")},
                required=[],
                description="As for `POST /schedules`; name and task may be left out.",
            ),
            "from": INSTANT,
            "to": INSTANT,
            "outages": {"type": "array", "items": _OUTAGE, "maxItems": MAX_OUTAGES, "default": []},
        },
        required=["schedule", "from", "to"],
    ),
    "Simulation": obj(
        {
            "slots": {
                "type": "array",
                "maxItems": simulation.MOST_SLOTS,
                "items": obj(
                    {
                        "slot": INSTANT,
                        "lastSlot": _LAST_SLOT,
                        "state": _choice(FireState),
                        "at": INSTANT | {"description": "When it is decided."},
                        "note": {"type": "string"},
                    }
                ),
            }
        }
    ),
    "BlackoutRange": {
        "oneOf": [
            obj({"from": INSTANT, "to": INSTANT}),
            obj(
                {
                    "weekdays": {"type": "array", "items": _choice(WEEKDAYS), "minItems": 1, "maxItems": 7},
                    "from": _TIME,
                    "to": _TIME | {"description": "Not later than from: on the next day."},
                }
            ),
            obj(
                {
                    "dates": {
                        "type": "string",
                        "pattern": "^[0-9]{2}-[0-9]{2}(/[0-9]{2}-[0-9]{2})?$",
                        "description": "MM-DD or MM-DD/MM-DD: whole days, every year, both included.",
                    }
                }
            ),
        ]
    },
    "NewCalendar": obj(_CALENDAR, required=["name", "ranges"]),
    "CalendarChanges": obj(
        {name: value for name, value in _CALENDAR.items() if name != "name"}, required=[], minProperties=1
    ),
    "Calendar": obj(
        _CALENDAR
        | {
            "version": _VERSION | {"description": "Grows with every edit; also the ETag."},
            "createdBy": {"type": "string"},
            "createdAt": INSTANT,
            "updatedAt": INSTANT,
        }
    ),
    **_pages("Calendar"),
}
