"""Cron expressions as wall-clock patterns. Parsing and matching are cronsim's, which follows Debian's cron.

Five fields, or six with seconds first; names, ``L``, ``LW``, ``5L``, ``5#2`` and the ``@`` names of cron. Where both
day fields are restricted either may match; where one begins with ``*`` both must (so ``*/2`` counts as ``*`` there).
cronsim is asked without a zone: `expansion` does what has to do with clock changes, also for what cron lacks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from cronsim import CronSim, CronSimError

from schedules_app.recurrence.base import InvalidRecurrence

MAX_LENGTH: Final = 200
ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_SECOND: Final = timedelta(seconds=1)
_FIELDS: Final = (
    "must have five fields (minute hour day month weekday), six with seconds first, or be an @ name of cron"
)


@dataclass(frozen=True, slots=True)
class Cron:
    """A `Pattern`: a checked expression without aliases."""

    expression: str

    @property
    def fixed_time(self) -> bool:
        """Set times, as opposed to a wildcard: minute and hour do not begin with ``*``, the rule of Debian's cron."""
        minute, hour = self.expression.split()[-5:-3]
        return not minute.startswith("*") and not hour.startswith("*")

    def upward(self, start: datetime) -> Iterator[datetime]:
        """Matches from ``start`` on, ascending, until 50 years have none."""
        return CronSim(self.expression, start - _SECOND)

    def downward(self, end: datetime) -> Iterator[datetime]:
        """Matches before ``end``, descending, until 50 years have none."""
        return CronSim(self.expression, end, reverse=True)

    def explain(self) -> str:
        """The expression in words."""
        return CronSim(self.expression, datetime(2000, 1, 1)).explain()  # noqa: DTZ001 - any time will do


@lru_cache(maxsize=4096)
def parse_cron(text: str) -> Cron:
    """Raises `InvalidRecurrence`. Whether it ever matches is not looked at."""
    expression = ALIASES.get(text.strip().lower(), text.strip())
    if len(expression) > MAX_LENGTH:
        raise InvalidRecurrence({"cron": f"must not be longer than {MAX_LENGTH} characters"})
    if len(expression.split()) not in (5, 6):
        raise InvalidRecurrence({"cron": _FIELDS})
    try:
        CronSim(expression, datetime(2000, 1, 1))  # noqa: DTZ001 - only parsed
    except (CronSimError, ValueError) as error:
        raise InvalidRecurrence({"cron": _sentence(str(error))}) from None
    return Cron(expression)


def _sentence(error: str) -> str:
    return f"has a {error.lower()} field" if error.startswith("Bad ") else _FIELDS
