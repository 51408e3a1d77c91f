"""Statements that lock *and* write *and* return in one trip: one per file, named like the function that runs it.

Everything else goes through the ORM. Parameters are written ``%(name)s``; the header of each file says what it is for,
which index it rides and why it is not the ORM. Each app has its own ``sql`` folder; a name stands in one of them only.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from django.apps import apps
from django.db import connection


class Cursor(Protocol):
    """What runs a statement in the caller's transaction: psycopg's cursor, or Django's round it."""

    def execute(self, query: Any, params: Any = None, /) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class Copying(Cursor, Protocol):
    """A cursor that can COPY."""

    def copy(self, statement: Any) -> AbstractContextManager[Any]: ...


def now_of(cursor: Cursor) -> datetime:
    """The time of the cursor's transaction, by the clock that due times are compared with."""
    cursor.execute("SELECT now()")
    [(now,)] = cursor.fetchall()
    return now  # type: ignore[no-any-return]


def database_now() -> datetime:
    """The same, over Django's connection."""
    with connection.cursor() as cursor:
        return now_of(cursor)


@cache
def statement(name: str) -> str:
    """The text of ``<name>.sql`` without its comments (the server need not parse them every time).

    Raises LookupError for a name that no installed app has.
    """
    for app in apps.get_app_configs():
        path = Path(app.path) / "sql" / f"{name}.sql"
        if path.is_file():
            lines = (line.split("--", 1)[0].rstrip() for line in path.read_text(encoding="utf-8").splitlines())
            return "\n".join(line for line in lines if line)
    raise LookupError(f"no app has a statement {name}")
