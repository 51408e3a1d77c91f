"""What `flow_app` documents of keys of queues."""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.lists import page_of, pages, parameters_of, sort_set
from access_app.http.openapi.operations import BODY_PROBLEMS, body, in_path, operation, response
from access_app.http.openapi.schemas import NAME, Json, integer, obj, ref, schema, variant
from access_app.rights import Action
from flow_app.api.key_views import KeyFilters
from flow_app.queue_keys import KEY
from flow_app.rules import MOST_PER_KEY, MOST_WEIGHT

_QUEUE: Final[Json] = in_path("name", NAME)
_KEY: Final = in_path(
    "key",
    KEY.schema,
    description="Percent-encoded, a slash too. A key that ends with a slash cannot be named here.",
)
_FIELDS: Final[Json] = {
    "maxConcurrency": variant(
        integer(1, MOST_PER_KEY),
        null=True,
        description="At most so many of its tasks are assigned or running. null: as many as the queue says.",
    ),
    "weight": integer(1, MOST_WEIGHT, default=1) | {"description": "Its share of a queue that this key shares."},
    "paused": {"type": "boolean", "default": False, "description": "Nothing of it starts."},
}
_EXAMPLE: Final[Json] = {
    "queue": "reports",
    "key": "tenant:41",
    "maxConcurrency": 3,
    "weight": 1,
    "paused": False,
    "version": 1,
}
SCHEMAS: Final[Json] = {
    "QueueKeySettings": obj(_FIELDS, required=[]),
    "QueueKey": obj({"queue": NAME, "key": KEY.schema, **_FIELDS, "version": {"type": "integer", "minimum": 1}}),
    **pages("QueueKey"),
    "QueueKeySort": sort_set(KeyFilters),
}
_PAGE: Final[Json] = {
    "content": [_EXAMPLE],
    "page": 0,
    "size": 20,
    "totalElements": 1,
    "totalPages": 1,
    "first": True,
    "last": True,
}
PATHS: Final[Json] = {
    "/queues/{name}/keys": {
        "parameters": [_QUEUE],
        "get": operation(
            "queues",
            "listQueueKeys",
            "Keys of a queue that are set apart",
            {200: response("A page.", page_of("QueueKey"), example=_PAGE)},
            action=Action.QUEUE_READ,
            problems=(404,),
            description="Those with a limit, weight or pause of their own.",
            parameters=parameters_of(KeyFilters),
        ),
    },
    "/queues/{name}/keys/{key}": {
        "parameters": [_QUEUE, _KEY],
        "get": operation(
            "queues",
            "getQueueKey",
            "What is set for a key",
            {
                200: response("The key.", schema("QueueKey"), headers=("ETag",)),
                304: response("Unchanged.", None, headers=("ETag",)),
            },
            action=Action.QUEUE_READ,
            problems=(404,),
            parameters=[ref("parameters", "IfNoneMatch")],
        ),
        "put": operation(
            "queues",
            "setQueueKey",
            "Limit, weigh or pause a key",
            {
                200: response("The key as it is now.", schema("QueueKey"), headers=("ETag",)),
                201: response("The key, which had nothing of its own before.", schema("QueueKey"), headers=("ETag",)),
            },
            action=Action.QUEUE_EDIT,
            problems=(*BODY_PROBLEMS, 404, 412),
            description="What the body leaves out is as usual. A lower limit or a pause stops nothing that runs, and "
            "takes back what is assigned but not started. If-Match: the version that is replaced, 0 for none.",
            parameters=[ref("parameters", "IfMatch")],
            requestBody=body(schema("QueueKeySettings"), examples={"three": {"value": {"maxConcurrency": 3}}}),
        ),
        "delete": operation(
            "queues",
            "unsetQueueKey",
            "Let a key be as usual again",
            {204: response("Nothing is set for it any more.", None)},
            action=Action.QUEUE_EDIT,
            problems=(404, 412),
            parameters=[ref("parameters", "IfMatch")],
        ),
    },
}
