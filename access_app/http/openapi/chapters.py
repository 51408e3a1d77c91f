"""What one app documents of the API, and how the chapters of all apps become one document."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce

from access_app.http.openapi.schemas import Json


@dataclass(frozen=True, slots=True)
class Chapter:
    """The part of the document that one app writes: its own endpoints, and what they refer to."""

    paths: Json
    schemas: Json
    #: Name and description of each tag; operations of other apps may use it too.
    tags: dict[str, str] = field(default_factory=dict)
    parameters: Json = field(default_factory=dict)


def merged(chapters: Iterable[Chapter]) -> Chapter:
    """One chapter of all, in their order. Raises ValueError when two describe the same thing."""
    return reduce(_joined, chapters, Chapter({}, {}))


def _joined(one: Chapter, other: Chapter) -> Chapter:
    return Chapter(
        paths=_union(one.paths, other.paths),
        schemas=_union(one.schemas, other.schemas),
        tags=_union(one.tags, other.tags),
        parameters=_union(one.parameters, other.parameters),
    )


def _union(one: Json, other: Json) -> Json:
    if twice := one.keys() & other.keys():
        raise ValueError(f"described twice: {', '.join(sorted(twice))}")
    return one | other
