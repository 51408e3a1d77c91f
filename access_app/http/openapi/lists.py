"""Parameters of query strings, and what lists have in common: their orders and the schemas of their pages."""

from __future__ import annotations

from typing import Final

from access_app.http.filters import MAX_SIZE, ListFilters
from access_app.http.openapi.operations import query
from access_app.http.openapi.schemas import COUNT, Json, array, integer, nullable, obj, schema
from access_app.http.query import Parameter, Query

_PAGE_FIELDS: Final[Json] = {
    "page": COUNT,
    "size": integer(1, MAX_SIZE),
    "totalElements": COUNT,
    "totalPages": COUNT,
    "first": {"type": "boolean"},
    "last": {"type": "boolean"},
}
_ESTIMATE: Final[Json] = {"type": "boolean", "description": "Present, and true, when the total is an estimate."}


def sort_set(filters: type[ListFilters]) -> Json:
    """The orders that a list can have."""
    ways = [name + way for name in filters.sorts for way in ("", ",asc", ",desc")]
    return {"type": "string", "enum": ways, "description": "A field and the way it goes; without one, upwards."}


def parameters_of(form: type[Query] | type[ListFilters]) -> list[Json]:
    """The query parameters of an operation, as the form of its query string has them."""
    return [
        query(
            name,
            str(field.help_text),
            field.schema,
            **({"style": "form", "explode": True} if field.repeated else {}),
            **({"allowEmptyValue": True} if field.may_be_empty else {}),
        )
        for name, field in form.form_class().base_fields.items()
        if isinstance(field, Parameter)
    ]


def pages(name: str) -> Json:
    """Schemas of a numbered and of a keyset page of something."""
    content = array(schema(name), maxItems=MAX_SIZE)
    keyset = {"content": content, "next": nullable("string"), "previous": nullable("string")}
    numbered = {"content": content, **_PAGE_FIELDS}
    return {
        f"{name.removesuffix('Item')}Page": obj(
            numbered | {"totalIsEstimate": _ESTIMATE}, required=list(numbered), description="A page by its number."
        ),
        f"{name.removesuffix('Item')}CursorPage": obj(keyset, description="A page with the ways on and back."),
    }


def page_of(name: str) -> Json:
    """Either page of something, as the query asks."""
    return {"oneOf": [schema(f"{name}Page"), schema(f"{name}CursorPage")]}
