"""What the document says of freezes: schemas, paths, examples."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.lists import page_of, pages, parameters_of, sort_set
from access_app.http.openapi.operations import BODY_PROBLEMS, body, in_path, operation, response
from access_app.http.openapi.schemas import (
    COUNT,
    ID,
    INSTANT,
    INSTANT_OR_NULL,
    NAME,
    REASON,
    Json,
    array,
    closed_set,
    nullable,
    obj,
    ref,
    schema,
    string_map,
)
from access_app.rights import Action
from flow_app.api.freeze_filters import FreezeFilters
from flow_app.freeze_table import FreezeStatus
from flow_app.freezes import MOST_NAMES
from flow_app.rules import RESUME_RATE
from tasks_app.executors.http_payload import MAX_HOST

_IN_PATH: Final[Json] = in_path("freeze_id")
_NAMES: Final[Json] = {
    "queues": array(NAME, maxItems=MOST_NAMES),
    "targets": array({"type": "string", "minLength": 1, "maxLength": MAX_HOST}, maxItems=MOST_NAMES),
    "types": array({"type": "string"}, maxItems=MOST_NAMES),
}
_ID: Final = "0192f0c1-7b5e-7000-8000-000000000001"
_FREEZE: Final[Json] = {
    "id": _ID,
    "status": "OPEN",
    "queues": ["mail"],
    "targets": ["api.example.com"],
    "types": [],
    "reason": "the provider is down",
    "until": None,
    "createdBy": "ops",
    "createdAt": "2030-01-31T11:00:00.000000Z",
    "thawedAt": None,
    "thawedBy": None,
    "resumeRate": None,
    "endedAt": None,
    "version": 1,
}
_EXAMPLE: Final[Json] = _FREEZE | {
    "affected": {"byStatus": {"PENDING": 1204, "RUNNING": 3}, "byQueue": {"mail": 1207}, "atLeast": False}
}
_PROPERTIES: Final[Json] = {
    "id": ID,
    "status": schema("FreezeStatus"),
    **_NAMES,
    "reason": REASON,
    "until": INSTANT_OR_NULL | {"description": "When it ends by itself; null: when somebody thaws it."},
    "createdBy": {"type": "string"},
    "createdAt": INSTANT,
    "thawedAt": INSTANT_OR_NULL,
    "thawedBy": nullable("string"),
    "resumeRate": RESUME_RATE.schema,
    "endedAt": INSTANT_OR_NULL | {"description": "When all that waited for it was back."},
    "version": {"type": "integer", "minimum": 1},
}


def _freeze(description: str, *headers: str) -> Json:
    return response(description, schema("FreezeInFull"), headers=("ETag", *headers), example=_EXAMPLE)


SCHEMAS: Final[Json] = {
    "FreezeStatus": closed_set(
        FreezeStatus, "OPEN: nothing it covers starts. THAWING: some of what waited is not back yet. ENDED."
    ),
    "NewFreeze": obj(
        _NAMES | {"reason": REASON, "until": INSTANT_OR_NULL},
        required=[],
        description="Names at least one queue, target or type.",
    ),
    "Thaw": obj({"reason": REASON, "resumeRate": RESUME_RATE.schema}, required=[]),
    "Freeze": obj(_PROPERTIES),
    "FreezeInFull": obj(_PROPERTIES | {"affected": schema("Affected")}),
    "Affected": obj(
        {
            "byStatus": schema("AffectedCounts"),
            "byQueue": schema("AffectedCounts"),
            "atLeast": {"type": "boolean", "description": "There may be more: counting has stopped."},
        },
        description="Tasks that have not ended and that it is about; of queues those with most of them.",
    ),
    "AffectedCounts": string_map(COUNT, description="By name."),
    **pages("Freeze"),
    "FreezeSort": sort_set(FreezeFilters),
}
PATHS: Final[Json] = {
    "/freezes": {
        "get": operation(
            "freezes",
            "listFreezes",
            "Freezes that are not over, and past ones",
            {200: response("A page of them.", page_of("Freeze"))},
            action=Action.FREEZE_READ,
            parameters=parameters_of(FreezeFilters),
        ),
        "post": operation(
            "freezes",
            "createFreeze",
            "Let nothing start of queues, types, or that calls targets",
            {
                201: _freeze("The freeze. From now on nothing it covers starts.", "Location"),
                200: _freeze("The same request was sent before.", "Idempotent-Replayed"),
            },
            action=Action.FREEZE_CREATE,
            problems=(*BODY_PROBLEMS, 409),
            description="What runs goes on; what is assigned is taken back. Several freezes may cover the same, and a "
            "pause of a queue stays what it is. Without `until` it lasts until somebody thaws it.",
            parameters=[ref("parameters", "IdempotencyKey")],
            requestBody=body(
                schema("NewFreeze"),
                examples={
                    "a host": {"value": {"targets": ["api.example.com"], "reason": "the provider is down"}},
                    "a queue and a type": {"value": {"queues": ["mail"], "types": ["SHELL"]}},
                },
            ),
        ),
    },
    "/freezes/{freeze_id}": {
        "parameters": [_IN_PATH],
        "get": operation(
            "freezes",
            "getFreeze",
            "A freeze, and what it is about",
            {200: _freeze("The freeze.")},
            action=Action.FREEZE_READ,
            problems=(404,),
        ),
        "delete": operation(
            "freezes",
            "thawFreeze",
            "Thaw it",
            {200: _freeze("The freeze as it is now.")},
            action=Action.FREEZE_THAW,
            problems=(*BODY_PROBLEMS, 404, 409, 412),
            description="With a resumeRate what waited comes back no faster: of each queue as with a resume, of types "
            "and targets together. What another freeze or a pause holds stays. While it is THAWING, another thaw "
            "changes the rate, and one without a rate ends it.",
            parameters=[ref("parameters", "IfMatch")],
            requestBody=body(schema("Thaw"), required=False),
        ),
    },
}
