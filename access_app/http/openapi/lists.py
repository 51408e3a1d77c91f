"""What lists have in common: their parameters, their orders and the schemas of their pages."""

from __future__ import annotations

from typing import Final

from access_app.http.listing import DEFAULT_SIZE, MAX_PAGE, MAX_SIZE, Grammar
from access_app.http.openapi.operations import query
from access_app.http.openapi.schemas import COUNT, Json, array, integer, nullable, obj, schema

_PAGE_FIELDS: Final[Json] = {
    "page": COUNT,
    "size": integer(1, MAX_SIZE),
    "totalElements": COUNT,
    "totalPages": COUNT,
    "first": {"type": "boolean"},
    "last": {"type": "boolean"},
}
_ESTIMATE: Final[Json] = {"type": "boolean", "description": "Present, and true, when the total is an estimate."}


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
