"""Paths of schedules."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.lists import page_of, parameters_of
from access_app.http.openapi.operations import BODY_PROBLEMS, body, in_path, operation, response
from access_app.http.openapi.schemas import Json, ref, schema
from access_app.rights import Action
from schedules_app.api.filters import FireFilters, PreviewQuery, ScheduleFilters
from schedules_app.api.openapi import examples
from schedules_app.simulation import MOST_SLOTS
from schedules_app.templates import MOST_IN_BATCHES

_CORRELATION: Final = ref("parameters", "CorrelationId")
_IDEMPOTENCY: Final = ref("parameters", "IdempotencyKey")
_IF_MATCH: Final = ref("parameters", "IfMatch")
_SCHEDULE_ID: Final[Json] = in_path("schedule_id")


def _schedule(description: str, *headers: str) -> Json:
    return response(description, schema("Schedule"), headers=("ETag", *headers), example=examples.SCHEDULE)


def page_responses(name: str, example: Json) -> dict[int, Json]:
    return {
        200: response("A page. With `cursor`: `next` and `previous` instead of totals.", page_of(name), example=example)
    }


_LIST: Final[Json] = {
    "get": operation(
        "schedules",
        "listSchedules",
        "List schedules",
        page_responses("Schedule", examples.SCHEDULE_PAGE),
        action=Action.SCHEDULE_READ,
        parameters=parameters_of(ScheduleFilters),
    ),
    "post": operation(
        "schedules",
        "createSchedule",
        "Create a schedule",
        {
            200: _schedule("The schedule an earlier request with this Idempotency-Key created.", "Idempotent-Replayed"),
            201: _schedule("Created. Its first time lies after now.", "Location"),
        },
        action=Action.SCHEDULE_CREATE,
        problems=(*BODY_PROBLEMS, 409),
        description="Its task is checked like a task, its batch like a batch.",
        parameters=[_IDEMPOTENCY],
        requestBody=body(schema("NewSchedule"), examples=examples.NEW_SCHEDULES),
    ),
}
_DETAIL: Final[Json] = {
    "parameters": [_SCHEDULE_ID],
    "get": operation(
        "schedules",
        "getSchedule",
        "Read a schedule",
        {200: _schedule("It.")},
        action=Action.SCHEDULE_READ,
        problems=(404,),
    ),
    "patch": operation(
        "schedules",
        "editSchedule",
        "Change a schedule",
        {200: _schedule("The schedule as it is now.")},
        action=Action.SCHEDULE_EDIT,
        problems=(*BODY_PROBLEMS, 404, 409, 412),
        description="Takes effect at once and runs nothing by itself; slots that were due are decided before, as they "
        "were meant. A new task is made from the next slot on.",
        parameters=[_IF_MATCH],
        requestBody=body(
            schema("ScheduleChanges"),
            examples={"later": {"value": {"cron": "30 4 * * *", "misfire": {"policy": "skip"}}}},
        ),
    ),
    "delete": operation(
        "schedules",
        "deleteSchedule",
        "Delete a schedule",
        {204: response("Deleted. Its tasks go on, and its fires can still be read.", None)},
        action=Action.SCHEDULE_DELETE,
        problems=(404, 412),
        parameters=[_IF_MATCH],
    ),
}


def _post(
    action: Action,
    operation_id: str,
    summary: str,
    responses: dict[int, Json],
    *,
    wants: Json,
    problems: tuple[int, ...] = (),
    parameters: tuple[Json, ...] = (),
    text: str = "",
) -> Json:
    return {
        "parameters": [_SCHEDULE_ID],
        "post": operation(
            "schedules",
            operation_id,
            summary,
            responses,
            action=action,
            problems=(*BODY_PROBLEMS, 404, *problems),
            description=text,
            parameters=list(parameters),
            requestBody=wants,
        ),
    }


def _get(operation_id: str, summary: str, responses: dict[int, Json], *parameters: Json, text: str = "") -> Json:
    return {
        "parameters": [_SCHEDULE_ID],
        "get": operation(
            "schedules",
            operation_id,
            summary,
            responses,
            action=Action.SCHEDULE_READ,
            problems=(404, 409),
            description=text,
            parameters=list(parameters),
        ),
    }


_OPTIONAL_REASON: Final = body(schema("Reason"), required=False, examples={"why": {"value": {"reason": "stocktaking"}}})
_MADE: Final[Json] = {"oneOf": [schema("Task"), schema("Batch")]}

PATHS: Final[Json] = {
    "/schedules": _LIST,
    "/schedules/simulate": {
        "post": operation(
            "schedules",
            "simulateSchedule",
            "What would become of the slots of a schedule",
            {200: response("Every slot of the window, in order.", schema("Simulation"), example=examples.SIMULATION)},
            action=Action.SCHEDULE_READ,
            problems=BODY_PROBLEMS,
            description="In a window in which no scheduler runs during the outages, and every task ends at once. "
            f"Nothing is stored. At most {MOST_SLOTS:,} slots.",
            requestBody=body(schema("SimulationRequest"), examples={"outage": {"value": examples.SIMULATION_REQUEST}}),
        )
    },
    "/schedules/{schedule_id}": _DETAIL,
    "/schedules/{schedule_id}/pause": _post(
        Action.SCHEDULE_PAUSE,
        "pauseSchedule",
        "Pause a schedule",
        {200: _schedule("The schedule as it is now.")},
        wants=_OPTIONAL_REASON,
        problems=(412,),
        parameters=(_IF_MATCH,),
        text="Its slots go by as SKIPPED_PAUSED. One that is paused stays as it is.",
    ),
    "/schedules/{schedule_id}/resume": _post(
        Action.SCHEDULE_RESUME,
        "resumeSchedule",
        "Resume a schedule",
        {200: _schedule("The schedule as it is now.")},
        wants=_OPTIONAL_REASON,
        problems=(412,),
        parameters=(_IF_MATCH,),
        text="Slots from now on run; those that went by do not. One that is not paused stays as it is.",
    ),
    "/schedules/{schedule_id}/trigger": _post(
        Action.SCHEDULE_TRIGGER,
        "triggerSchedule",
        "Make a task, or a batch, of a schedule now",
        {
            200: response(
                "What an earlier request with this Idempotency-Key made.",
                _MADE,
                headers=("ETag", "Idempotent-Replayed"),
            ),
            201: response("The task, or the batch.", _MADE, headers=("ETag", "Location")),
        },
        wants=body(schema("Empty"), required=False),
        problems=(409, 429),
        parameters=(_IDEMPOTENCY, _CORRELATION),
        text="Also when it is paused, disabled, or has a task that has not ended.",
    ),
    "/schedules/{schedule_id}/backfill": _post(
        Action.SCHEDULE_BACKFILL,
        "backfillSchedule",
        "Run the slots of a window that did not run",
        {
            200: response(
                "There was nothing to run, or this is the response to an earlier request with this Idempotency-Key.",
                schema("BackfillAnswer"),
                headers=("Idempotent-Replayed",),
            ),
            201: response(
                "Slots and what was made, oldest first.",
                schema("BackfillAnswer"),
                example=examples.BACKFILLED,
            ),
        },
        wants=body(schema("BackfillRequest"), examples={"week": {"value": examples.BACKFILL}}),
        problems=(409, 429),
        parameters=(_IDEMPOTENCY, _CORRELATION),
        text="A slot that ran is never run again, so that asking twice is safe. Unless the schedule lets its tasks "
        f"overlap they run one at a time. Batches have {MOST_IN_BATCHES:,} tasks in all at most, or are one.",
    ),
    "/schedules/{schedule_id}/clone": _post(
        Action.SCHEDULE_CLONE,
        "cloneSchedule",
        "Create a schedule like this one, disabled",
        {201: _schedule("The new schedule.", "Location")},
        wants=body(schema("Clone"), examples={"copy": {"value": {"name": "nightly-report-2"}}}),
        problems=(409,),
    ),
    "/schedules/{schedule_id}/fires": _get(
        "listFires",
        "The ledger: what became of each slot",
        page_responses("Fire", examples.FIRE_PAGE),
        *parameters_of(FireFilters),
        text="Also of a schedule that was deleted.",
    ),
    "/schedules/{schedule_id}/preview": _get(
        "previewSchedule",
        "Its next times",
        {200: response("Also of one that is paused or disabled.", schema("Preview"), example=examples.PREVIEW)},
        *parameters_of(PreviewQuery),
    ),
    "/schedules/{schedule_id}/why": _get(
        "explainSchedule",
        "Every reason why it makes no task now",
        {200: response("Empty when it does so this moment.", schema("ScheduleWhy"), example=examples.WHY)},
    ),
}
