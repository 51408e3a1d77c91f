"""Statements that may be about millions of rows: stopped after a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg.errors import QueryCanceled

_MILLISECOND: Final = timedelta(milliseconds=1)


class TooSlow(Exception):
    """A statement took longer than it may, and was stopped."""


@contextmanager
def no_longer_than(most: timedelta, **settings: str) -> Iterator[CursorWrapper]:
    """A cursor in a transaction in which no statement may take longer; ``settings`` of PostgreSQL hold as long.

    Raises `TooSlow`.
    """
    held = {"statement_timeout": str(most // _MILLISECOND), **settings}
    setting = ", ".join(["set_config(%s, %s, true)"] * len(held))
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SELECT {setting}", [part for each in held.items() for part in each])
            yield cursor
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise TooSlow(str(error).strip()) from error
        raise
