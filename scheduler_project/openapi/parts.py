"""Small builders the document is put together with."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from tasks_app.access import Action
from tasks_app.api.listing import DEFAULT_SIZE, MAX_PAGE, MAX_SIZE, Grammar

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


def listed(items: Json) -> Json:
    """``{"content": […]}``."""
    return obj({"content": {"type": "array", "items": items}})


def nullable(kind: str, **more: Any) -> Json:
    return {"type": [kind, "null"], **more}


def integer(low: int, high: int, **more: Any) -> Json:
    return {"type": "integer", "minimum": low, "maximum": high, **more}


def query(name: str, description: str, value: Json, **more: Any) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": value, **more}


def paging(grammar: Grammar) -> list[Json]:
    """The parameters of a list that say which page of it, in which order."""
    ways = [name + way for name in grammar.sorts for way in ("", ",asc", ",desc")]
    default = f"{next(iter(grammar.sorts))},{'desc' if grammar.descending else 'asc'}"
    order = "Order; ties are broken by id in the same direction."
    keyset = (
        "Keyset pages: empty for the first, then `next` or `previous` of the page before, with the same filters and "
        "sort. Not together with `page`."
    )
    return [
        query("page", "Which page, from 0.", integer(0, MAX_PAGE, default=0)),
        query("size", "How many items a page has.", integer(1, MAX_SIZE, default=DEFAULT_SIZE)),
        query("sort", order, {"type": "string", "enum": ways, "default": default}),
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
