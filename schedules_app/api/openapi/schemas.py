"""Schemas of schedules, with the limits of the code in them."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.lists import pages, sort_set
from access_app.http.openapi.schemas import (
    COUNT,
    ID,
    INSTANT,
    INSTANT_OR_NULL,
    NAME,
    REASON,
    Json,
    array,
    choice,
    closed_set,
    integer,
    nullable,
    obj,
    or_null,
    schema,
    unset,
)
from schedules_app import manual_runs, new_schedules, selectors, simulation
from schedules_app.api.filters import FireFilters, ScheduleFilters
from schedules_app.api.inputs import MAX_OUTAGES
from schedules_app.firing_rules import FireState, Misfire, Overlap
from schedules_app.recurrence import DstFold, DstGap
from tasks_app.api.openapi.schemas import NEW_TASK_FIELDS
from tasks_app.api.openapi.types import EVERY, by_type, type_field
from tasks_app.fields import TEMPLATE

VERSION: Final[Json] = {"type": "integer", "minimum": 1}
DESCRIPTION: Final[Json] = {"type": "string", "maxLength": new_schedules.MAX_DESCRIPTION}
TIMEZONE: Final[Json] = {"type": "string", "description": "A name of the IANA time zone database."}
_CRON: Final = "Five fields, names, `@daily` and friends; with six fields the first is seconds."
_RRULE: Final = "An RRULE of RFC 5545 without DTSTART, which is startAt, or else the creation."


#: What somebody chooses about a schedule, but for its template; the defaults are those of a new one.
_CHOICES: Final[Json] = {
    "name": NAME,
    "description": DESCRIPTION | {"default": ""},
    "enabled": {"type": "boolean", "default": True},
    "cron": nullable("string", description=_CRON),
    "intervalSeconds": nullable(
        "integer", minimum=1, maximum=31_536_000, description="Elapsed time, counted from startAt or the creation."
    ),
    "rrule": nullable("string", maxLength=1000, description=_RRULE),
    "timezone": TIMEZONE | {"default": "UTC"},
    "startAt": INSTANT_OR_NULL,
    "endAt": INSTANT_OR_NULL,
    "jitterSeconds": integer(
        0, new_schedules.MAX_JITTER_SECONDS, default=0, description="Each slot is late by up to this, always the same."
    ),
    "misfire": schema("Misfire"),
    "overlap": choice("Overlap", default="skip"),
    "dst": schema("Dst"),
    "calendars": array(NAME, maxItems=new_schedules.MAX_CALENDARS, default=[]),
}
_MISFIRE: Final[Json] = {
    "policy": choice("MisfirePolicy", default="run_once"),
    "maxRuns": integer(1, new_schedules.MAX_RUNS, default=10, description="For run_all: the newest so many."),
    "graceSeconds": integer(
        0, new_schedules.MAX_GRACE_SECONDS, default=60, description="A slot this late is not missed yet."
    ),
}
_DST: Final[Json] = {
    "gap": choice("DstGap", default="run_after"),
    "fold": choice("DstFold", default="once"),
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
    "version": VERSION | {"description": "Grows with every edit, not with a fire; also the ETag."},
    "createdAt": INSTANT,
    "updatedAt": INSTANT,
}
_TEMPLATE: Final[Json] = {row.name: NEW_TASK_FIELDS[row.name] for row in TEMPLATE if row.name in NEW_TASK_FIELDS}
#: What it makes: one of these, and null for the other.
_MADE: Final[Json] = {
    "task": or_null("TaskTemplate"),
    "batch": or_null("BatchTemplate"),
    "callback": or_null("Callback") | {"description": "Of its tasks that say nothing of one."},
}
_ID_OR_NULL: Final = nullable("string", format="uuid")
_LAST_SLOT: Final = INSTANT_OR_NULL | {"description": "Then it stands for all slots up to this one: a long outage."}


def _template(kind: str) -> Json:
    """A task that a schedule makes. What a caller may not read is left out of responses: the payload."""
    return obj({"type": type_field(kind), "payload": schema(f"{kind}Payload"), **_TEMPLATE}, required=["type"])


SCHEMAS: Final[Json] = {
    "FireState": closed_set(FireState, "What became of a slot."),
    "MisfirePolicy": closed_set(Misfire, "What becomes of missed slots."),
    "Overlap": closed_set(Overlap, "What a slot does while the task of an earlier one has not ended."),
    "DstGap": closed_set(DstGap, "A fixed time that the clock jumps over."),
    "DstFold": closed_set(DstFold, "A fixed time that the clock shows twice."),
    "Misfire": obj(_MISFIRE, required=[]),
    "MisfireChanges": obj(unset(_MISFIRE), required=[], description="What is absent stays as it is."),
    "Dst": obj(_DST, required=[]),
    "DstChanges": obj(unset(_DST), required=[], description="What is absent stays as it is."),
    **{f"{kind}Template": _template(kind) for kind in EVERY},
    "TaskTemplate": by_type("Template")
    | {"description": "What `POST /tasks` takes, but for times: a slot is the time."},
    "TemplateChanges": obj(
        unset({"type": {"type": "string"}, "payload": schema("Payload"), **_TEMPLATE}),
        required=[],
        description="What is absent stays as it is.",
    ),
    "NewSchedule": obj(
        _CHOICES | _MADE,
        required=["name"],
        description="Exactly one of `cron`, `intervalSeconds` and `rrule`, and one of `task` and `batch`.",
    ),
    "ScheduleChanges": obj(
        unset(_CHOICES)
        | {"misfire": schema("MisfireChanges"), "dst": schema("DstChanges")}
        | (_MADE | {"task": or_null("TemplateChanges")}),
        required=[],
        minProperties=1,
        description="What is absent stays, also inside `misfire`, `dst` and `task`; `payload`, `retry` and `batch` are "
        "replaced whole. Another kind of times, or `batch` instead of `task`, replaces what there was.",
    ),
    "Schedule": obj(
        _CHOICES | _READ_ONLY | _MADE,
        required=[*_CHOICES, *_READ_ONLY, "task"],
        description="Without `batch`, `callback` and the `payload` of `task` for who may not read schedules "
        "(`schedules:read`).",
    ),
    "ScheduleItem": obj(_CHOICES | _READ_ONLY, description="A schedule in a list: without its template."),
    **pages("ScheduleItem"),
    "ScheduleSort": sort_set(ScheduleFilters),
    "Reason": obj({"reason": REASON}, required=[]),
    "Clone": obj({"name": NAME}),
    "Fire": obj(
        {
            "slot": INSTANT | {"description": "The intended time."},
            "lastSlot": _LAST_SLOT,
            "state": schema("FireState"),
            "dueAt": INSTANT | {"description": "The intended time with its jitter."},
            "decidedAt": INSTANT,
            "taskId": _ID_OR_NULL,
            "batchId": _ID_OR_NULL,
            "note": {"type": "string"},
        }
    ),
    **pages("Fire"),
    "FireSort": sort_set(FireFilters),
    "PreviewedFire": obj(
        {
            "at": INSTANT,
            "local": INSTANT | {"description": "With the offset of the zone."},
            "note": {"type": "string", "description": "DST_GAP, DST_FOLD, or the blackout it falls into."},
        }
    ),
    "Preview": obj({"fires": array(schema("PreviewedFire"), maxItems=selectors.MAX_PREVIEW)}),
    "ScheduleWhy": obj({"reasons": array(schema("WhyReason"))}),
    "BackfillRequest": obj(
        {
            "from": INSTANT,
            "to": INSTANT,
            "limit": integer(1, manual_runs.MAX_BACKFILL, default=manual_runs.MAX_BACKFILL),
            "priority": nullable("integer", minimum=-100, maximum=100, description="Instead of the template's."),
        },
        required=["from", "to"],
    ),
    "BackfilledSlot": obj({"slot": INSTANT, "taskId": _ID_OR_NULL, "batchId": _ID_OR_NULL}),
    "BackfillAnswer": obj(
        {
            "created": COUNT,
            "more": {"type": "boolean", "description": "The window holds others that did not run."},
            "content": array(schema("BackfilledSlot")),
        }
    ),
    "ScheduleDraft": obj(
        _CHOICES | _MADE,
        required=[],
        description="As for `POST /schedules`; name, and task or batch, may be left out.",
    ),
    "Outage": obj({"from": INSTANT, "to": INSTANT}),
    "SimulationRequest": obj(
        {
            "schedule": schema("ScheduleDraft"),
            "from": INSTANT,
            "to": INSTANT,
            "outages": array(schema("Outage"), maxItems=MAX_OUTAGES, default=[]),
        },
        required=["schedule", "from", "to"],
    ),
    "SimulatedSlot": obj(
        {
            "slot": INSTANT,
            "lastSlot": _LAST_SLOT,
            "state": schema("FireState"),
            "at": INSTANT | {"description": "When it is decided."},
            "note": {"type": "string"},
        }
    ),
    "Simulation": obj({"slots": array(schema("SimulatedSlot"), maxItems=simulation.MOST_SLOTS)}),
}
