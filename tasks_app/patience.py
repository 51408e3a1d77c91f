"""Reads that people ask for and that may be about millions of rows: stopped after a time, with a way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from django.db.backends.utils import CursorWrapper

from access_app import patience
from access_app.patience import TooSlow
from access_app.refusals import InvalidInput


@contextmanager
def no_longer_than(most: timedelta, problems: Mapping[str, str]) -> Iterator[CursorWrapper]:
    """A cursor in a transaction in which no statement may take longer. Raises `InvalidInput` with ``problems``."""
    try:
        # One process of the server, however many rows there are: the engine needs the others.
        with patience.no_longer_than(most, max_parallel_workers_per_gather="0") as cursor:
            yield cursor
    except TooSlow:
        raise InvalidInput(dict(problems)) from None
