"""What the document says of marks."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.lists import page_of, pages, parameters_of, sort_set
from access_app.http.openapi.operations import BODY_PROBLEMS, body, in_path, operation, response
from access_app.http.openapi.schemas import INSTANT, INSTANT_OR_NULL, Json, obj, schema
from access_app.rights import Action
from access_app.texts import MAX_NAME
from monitoring_app.mark_api import MarkFilters

_NAME: Final[Json] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_NAME,
    "description": "One line that people read in charts.",
}
_EXAMPLE: Final[Json] = {
    "id": 7,
    "name": "deploy 1.42",
    "at": "2030-01-31T12:00:00.000000Z",
    "createdAt": "2030-01-31T12:00:03.250000Z",
    "createdBy": "pipeline",
}
_MARK: Final[Json] = {
    "id": {"type": "integer"},
    "name": _NAME,
    "at": INSTANT,
    "createdAt": INSTANT,
    "createdBy": {"type": "string"},
}

SCHEMAS: Final[Json] = {
    "Mark": obj(_MARK),
    "NewMark": obj(
        {"name": _NAME, "at": INSTANT_OR_NULL | {"description": "Now, if absent or null."}}, required=["name"]
    ),
    **pages("Mark"),
    "MarkSort": sort_set(MarkFilters),
}
PATHS: Final[Json] = {
    "/marks": {
        "get": operation(
            "marks",
            "listMarks",
            "Marks",
            {200: response("A page of them.", page_of("Mark"))},
            action=Action.MARK_READ,
            parameters=parameters_of(MarkFilters),
        ),
        "post": operation(
            "marks",
            "setMark",
            "Set a mark",
            {
                201: response("It is set.", schema("Mark"), example=_EXAMPLE),
                200: response("It was there: a mark of this name at this instant.", schema("Mark"), example=_EXAMPLE),
            },
            action=Action.MARK_CREATE,
            problems=BODY_PROBLEMS,
            description="A pipeline says when it deployed, and charts show it. With `at`, it may be sent again.",
            requestBody=body(
                schema("NewMark"),
                examples={
                    "now": {"value": {"name": "deploy 1.42"}},
                    "then": {"value": {"name": "deploy 1.42", "at": "2030-01-31T12:00:00Z"}},
                },
            ),
        ),
    },
    "/marks/{mark_id}": {
        "parameters": [in_path("mark_id", {"type": "integer"})],
        "delete": operation(
            "marks",
            "deleteMark",
            "Take a mark away",
            {204: response("It is gone.", None)},
            action=Action.MARK_DELETE,
            problems=(404,),
        ),
    },
}
