"""Reads that people ask for and that may be about millions of rows: stopped after a time, with a way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg.errors import QueryCanceled

from access_app.refusals import InvalidInput

_MILLISECOND: Final = timedelta(milliseconds=1)


@contextmanager
def no_longer_than(most: timedelta, problems: Mapping[str, str]) -> Iterator[CursorWrapper]:
    """A cursor in a transaction in which no statement may take longer. Raises `InvalidInput` with ``problems``."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            # One process of the server, however many rows there are: the engine needs the others.
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, true),"
                " set_config('max_parallel_workers_per_gather', '0', true)",
                [str(most // _MILLISECOND)],
            )
            yield cursor
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        raise InvalidInput(dict(problems)) from None
