"""What the document says of targets: schemas, paths, examples."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.lists import page_of, pages, parameters_of, sort_set
from access_app.http.openapi.operations import BODY_PROBLEMS, body, in_path, operation, response
from access_app.http.openapi.schemas import INSTANT_OR_NULL, Json, obj, ref, schema
from access_app.rights import Action
from flow_app.api.filters import TargetFilters
from flow_app.rules import MOST_CONCURRENT
from flow_app.targets import RATE
from tasks_app.executors.http_payload import MAX_HOST

_IF_MATCH: Final = ref("parameters", "IfMatch")
_HOST: Final[Json] = {"type": "string", "minLength": 1, "maxLength": MAX_HOST}
_IN_PATH: Final[Json] = in_path("host", _HOST)
_RULES: Final[Json] = {
    "maxConcurrency": {
        "type": ["integer", "null"],
        "minimum": 0,
        "maximum": MOST_CONCURRENT,
        "default": None,
        "description": "At most so many tasks that call it are assigned or running at any instant. 0 closes it; "
        "null: no limit.",
    },
    "rateLimit": RATE.schema | {"default": None},
    "respectRetryAfter": {
        "type": "boolean",
        "default": True,
        "description": "One 429 or 503 with `Retry-After`, and no task that calls it starts until then, for an hour "
        "at most.",
    },
}
_EXAMPLE: Final[Json] = {
    "host": "api.example.com",
    "maxConcurrency": 8,
    "rateLimit": {"limit": 100, "periodSeconds": 1, "burst": 10},
    "respectRetryAfter": True,
    "backingOffUntil": None,
    "version": 1,
}

_EXAMPLES: Final[Json] = {
    "eight": {"value": {"maxConcurrency": 8}},
    "hundred a second": {"value": {"rateLimit": {"limit": 100, "periodSeconds": 1}}},
}


def _target(description: str) -> Json:
    return response(description, schema("Target"), headers=("ETag",), example=_EXAMPLE)


SCHEMAS: Final[Json] = {
    "TargetRules": obj(_RULES, required=[]),
    "Target": obj(
        {
            "host": _HOST,
            **_RULES,
            "backingOffUntil": INSTANT_OR_NULL | {"description": "When it may be called again, by its Retry-After."},
            "version": {"type": "integer", "minimum": 1},
        }
    ),
    **pages("Target"),
    "TargetSort": sort_set(TargetFilters),
}
PATHS: Final[Json] = {
    "/targets": {
        "get": operation(
            "targets",
            "listTargets",
            "Hosts with rules",
            {200: response("A page of them.", page_of("Target"))},
            action=Action.TARGET_READ,
            parameters=parameters_of(TargetFilters),
        )
    },
    "/targets/{host}": {
        "parameters": [_IN_PATH],
        "get": operation(
            "targets",
            "getTarget",
            "The rules of a host",
            {200: _target("The rules."), 304: response("Unchanged.", None, headers=("ETag",))},
            action=Action.TARGET_READ,
            problems=(404,),
            parameters=[ref("parameters", "IfNoneMatch")],
        ),
        "put": operation(
            "targets",
            "putTarget",
            "Set the rules of a host",
            {200: _target("The rules as they are now."), 201: _target("The same, for a host that had none.")},
            action=Action.TARGET_EDIT,
            problems=(*BODY_PROBLEMS, 404, 412),
            description="What the body does not name is what it is by default. They hold from the next assignment on, "
            "for the tasks of all queues whose payload names the host. Nothing that runs is stopped.",
            parameters=[_IF_MATCH],
            requestBody=body(schema("TargetRules"), examples=_EXAMPLES),
        ),
        "delete": operation(
            "targets",
            "deleteTarget",
            "Forget the rules of a host",
            {204: response("It has none now.", None)},
            action=Action.TARGET_EDIT,
            problems=(404, 412),
            parameters=[_IF_MATCH],
        ),
    },
}
