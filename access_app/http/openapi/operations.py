"""Builders of paths: parameters, bodies, responses, and an operation with what every one of them needs and refuses."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from access_app.http.openapi.schemas import ID, Json, ref
from access_app.rights import Action

#: What an operation refuses because it reads a body.
BODY_PROBLEMS: Final = (400, 411, 413, 415)


def query(name: str, description: str, value: Json, **more: Any) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": value, **more}


def in_path(name: str, value: Json = ID, **more: Any) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": value, **more}


def body(value: Json, *, required: bool = True, examples: Json | None = None) -> Json:
    media: Json = {"schema": value} | ({"examples": examples} if examples else {})
    return {"required": required, "content": {"application/json": media}}


def response(
    description: str,
    value: Json | None,
    *,
    media_type: str = "application/json",
    headers: Sequence[str] = (),
    example: Any = None,
) -> Json:
    """A success; every response carries the correlation id."""
    named = {name: ref("headers", name) for name in ("X-Correlation-ID", *headers)}
    made: Json = {"description": description, "headers": named}
    if value is not None:
        made["content"] = {media_type: {"schema": value} | ({"example": example} if example is not None else {})}
    return made


def problem(status: int) -> Json:
    """A problem that looks the same from any operation."""
    return {str(status): ref("responses", f"Problem{status}")}


def operation(
    tag: str,
    operation_id: str,
    summary: str,
    responses: dict[int, Json],
    *,
    action: Action = Action.HEALTH_READ,
    problems: Sequence[int] = (),
    description: str = "",
    **more: Any,
) -> Json:
    """One operation. 401, 403, 500 and 503 are added to the problems it names, 400 because of unknown parameters."""
    statuses = sorted({400, 401, 403, *problems, 500, 503})
    named = {str(status): each for status, each in responses.items()}
    for status in statuses:
        named = problem(status) | named
    return {
        "tags": [tag],
        "operationId": operation_id,
        "summary": summary,
        "description": f"{description}\n\n{_needs(action)}".strip(),
        "security": _security(action),
        **more,
        "responses": named,
    }


def _security(action: Action) -> list[Json]:
    """The same for programs: OpenAPI lets schemes other than OAuth list the roles that are required."""
    keys = [{"apiKey": sorted(way.scopes or ())} for way in action.ways]
    token: list[Json] = [{"taskToken": []}] if action.by_task else []
    return [*keys, *token, *({"adminSession": sorted(way.permissions)} for way in action.ways)]


def _needs(action: Action) -> str:
    """What the table says, for keys and for people."""
    key = f"Scope: {' or '.join(_names(way.scopes or ()) for way in action.ways)}" if action.scopes else "Any valid key"
    person = " or ".join(_names(way.permissions) for way in action.ways)
    typed = "; SHELL tasks need `tasks:shell` as well" if action.runs else ""
    token = " Or the token of a task, for itself." if action.by_task else ""
    return f"{key}{typed}.{token} With a session: {person or 'any member of staff'}."


def _names(names: Collection[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
