"""What one app documents of the API, and how the chapters of all apps become one document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from access_app.http.openapi.schemas import Json


@dataclass(frozen=True, slots=True)
class Chapter:
    """The part of the document that one app writes: its own endpoints, and what they refer to."""

    paths: Json
    schemas: Json
    #: Name and description of each tag; operations of other apps may use it too.
    tags: dict[str, str] = field(default_factory=dict)
    parameters: Json = field(default_factory=dict)
    #: What is sent to others.
    webhooks: Json = field(default_factory=dict)


def merged(chapters: Sequence[Chapter]) -> Chapter:
    """One chapter of all, in their order. Raises ValueError when two describe the same thing."""
    return Chapter(
        paths=union(*(one.paths for one in chapters)),
        schemas=union(*(one.schemas for one in chapters)),
        tags=union(*(one.tags for one in chapters)),
        parameters=union(*(one.parameters for one in chapters)),
        webhooks=union(*(one.webhooks for one in chapters)),
    )


def union(*parts: Json) -> Json:
    """All of them in one. Raises ValueError when a name stands in two: none silently replaces another."""
    whole: Json = {}
    for part in parts:
        if twice := whole.keys() & part.keys():
            raise ValueError(f"/schema would describe twice: {', '.join(sorted(twice))}")
        whole |= part
    return whole
