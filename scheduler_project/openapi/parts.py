"""Small builders the document is put together with."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from access_app.http.listing import DEFAULT_SIZE, MAX_PAGE, MAX_SIZE, Grammar
from access_app.rights import Action

Json = dict[str, Any]

COUNT: Final[Json] = {"type": "integer", "minimum": 0}
INSTANT: Final[Json] = {"type": "string", "format": "date-time"}
INSTANT_OR_NULL: Final[Json] = {"type": ["string", "null"], "format": "date-time"}
ID: Final[Json] = {"type": "string", "format": "uuid"}
#: Of a queue, a schedule, a calendar.
NAME: Final[Json] = {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,100}$"}

PROBLEM_TITLES = {
    400: "A field, a parameter or the body is wrong; `errors` names it.",
    401: "No API key, or one that is unknown, revoked or expired.",
    403: "The key lacks the scope this needs, or the person the permission.",
    404: "There is nothing of this id.",
    409: "The state of things does not allow this, or the Idempotency-Key was used for another request.",
    411: "The body has no length, and this server does not read such bodies.",
    412: "If-Match names none but other versions: somebody has changed it since it was read.",
    413: "The body is too large.",
    415: "The body is not uncompressed JSON.",
    500: "A defect of ours; the log has the details under the correlation id.",
    503: "The database cannot be reached; `Retry-After` says when to try again.",
}
BODY_PROBLEMS = (400, 411, 413, 415)


def ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def schema(name: str) -> Json:
    return ref("schemas", name)


def obj(properties: Json, *, required: Sequence[str] | None = None, **more: Any) -> Json:
    """An object with these properties and no others; all of them are required unless said otherwise."""
    names = list(properties) if required is None else list(required)
    closed: Json = {"type": "object", "properties": properties, "additionalProperties": False}
    return closed | ({"required": names} if names else {}) | more


def open_obj(properties: Json, *, required: Sequence[str] = (), **more: Any) -> Json:
    """An object that may have further properties: figures and results grow without a new version of the API."""
    return obj(properties, required=required, **more) | {"additionalProperties": True}


def string_map(**more: Any) -> Json:
    """An object of any names and texts."""
    return {"type": "object", "additionalProperties": {"type": "string"}, **more}


def unset(properties: Json) -> Json:
    """The same properties without defaults, for changes: what is absent stays, and generated clients send defaults."""
    return {name: {key: value for key, value in one.items() if key != "default"} for name, one in properties.items()}


def or_null(name: str, **more: Any) -> Json:
    return {"oneOf": [schema(name), {"type": "null"}], **more}


def choice(name: str, **more: Any) -> Json:
    """A value of a named set (`enums`), with words or a default of its own."""
    return {"allOf": [schema(name)], **more} if more else schema(name)


def listed(items: Json) -> Json:
    """``{"content": […]}``."""
    return obj({"content": array(items)})


def array(items: Json, **more: Any) -> Json:
    return {"type": "array", "items": items, **more}


def nullable(kind: str, **more: Any) -> Json:
    return {"type": [kind, "null"], **more}


def integer(low: int, high: int, **more: Any) -> Json:
    return {"type": "integer", "minimum": low, "maximum": high, **more}


def query(name: str, description: str, value: Json, **more: Any) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": value, **more}


def sort_set(grammar: Grammar) -> Json:
    """The orders that a list can have."""
    ways = [name + way for name in grammar.sorts for way in ("", ",asc", ",desc")]
    return {"type": "string", "enum": ways, "description": "A field and the way it goes; without one, upwards."}


def paging(grammar: Grammar, sort: str) -> list[Json]:
    """The parameters of a list that say which page of it, in which order; ``sort`` names the schema of the orders.

    None has a default in its schema: generated clients send those, and `page` must not come with `cursor`.
    """
    default = f"{next(iter(grammar.sorts))},{'desc' if grammar.descending else 'asc'}"
    order = f"Order, {default} if absent; ties are broken by id in the same direction."
    keyset = (
        "Keyset pages: empty for the first, then `next` or `previous` of the page before, with the same filters and "
        "sort. Not together with `page`."
    )
    return [
        query("page", "Which page, from 0; the first if absent.", integer(0, MAX_PAGE)),
        query("size", f"How many items a page has, {DEFAULT_SIZE} if absent.", integer(1, MAX_SIZE)),
        query("sort", order, schema(sort)),
        query("cursor", keyset, {"type": "string"}, allowEmptyValue=True),
    ]


def body(value: Json, *, required: bool = True, examples: Json | None = None) -> Json:
    media: Json = {"schema": value} | ({"examples": examples} if examples else {})
    return {"required": required, "content": {"application/json": media}}


def answer(
    description: str,
    value: Json | None,
    *,
    media_type: str = "application/json",
    headers: Sequence[str] = (),
    example: Any = None,
) -> Json:
    """A success; every answer carries the correlation id."""
    named = {name: ref("headers", name) for name in ("X-Correlation-ID", *headers)}
    response: Json = {"description": description, "headers": named}
    if value is not None:
        response["content"] = {media_type: {"schema": value} | ({"example": example} if example is not None else {})}
    return response


def problem(status: int) -> Json:
    """A problem that any operation answers in the same way."""
    return {str(status): ref("responses", f"Problem{status}")}


def operation(
    tag: str,
    operation_id: str,
    summary: str,
    answers: dict[int, Json],
    *,
    action: Action = Action.HEALTH_READ,
    problems: Sequence[int] = (),
    description: str = "",
    **more: Any,
) -> Json:
    """One operation. 401, 403, 500 and 503 are added to the problems it names, 400 because of unknown parameters."""
    statuses = sorted({400, 401, *((403,) if action.scopes or action.permissions else ()), *problems, 500, 503})
    responses = {str(status): response for status, response in answers.items()}
    for status in statuses:
        responses = problem(status) | responses
    return {
        "tags": [tag],
        "operationId": operation_id,
        "summary": summary,
        "description": f"{description}\n\n{_needs(action)}".strip(),
        "security": _security(action),
        **more,
        "responses": responses,
    }


def _security(action: Action) -> list[Json]:
    """The same for programs: OpenAPI lets schemes other than OAuth list the roles that are required."""
    return [{"apiKey": sorted(action.scopes or ())}, {"adminSession": sorted(action.permissions)}]


def _needs(action: Action) -> str:
    """What the table says, for keys and for people."""
    key = f"Scope: {_names(action.scopes)}" if action.scopes else "Any valid key"
    typed = "; SHELL tasks need `tasks:shell` as well" if action.runs else ""
    return f"{key}{typed}. With a session: {_names(action.permissions) or 'any member of staff'}."


def _names(names: Collection[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
