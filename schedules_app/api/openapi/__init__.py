"""What `schedules_app` documents of the API: schedules, and the calendars that hold them back."""

from __future__ import annotations

from access_app.http.openapi.chapters import Chapter, union
from schedules_app.api.openapi import calendars, paths, schemas


def chapter() -> Chapter:
    tags = {
        "schedules": "Make tasks again and again; see what will be, and what was.",
        "calendars": "When schedules do not run.",
    }
    return Chapter(union(paths.PATHS, calendars.PATHS), union(schemas.SCHEMAS, calendars.SCHEMAS), tags)
