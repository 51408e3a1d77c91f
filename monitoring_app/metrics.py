"""What a scrape reads: the state of the system at one instant, and the running totals.

A reading is kept for five seconds, so that scraping can never become a load. What it is called is in ``families``, how
it is written in ``exposition``.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from django.db import connection

from access_app.database_faults import leaves_reads, short
from access_app.patience import TooSlow
from monitoring_app import counting, selectors
from monitoring_app.busiest import QueueReading, read_busiest
from monitoring_app.counting import Total
from monitoring_app.health import DATABASE_ERRORS
from monitoring_app.selectors import Survey
from monitoring_app.workflows import Workflows, survey_workflows

KEPT_FOR: Final = timedelta(seconds=5)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one scrape read; None or empty where the database returned nothing in time."""

    survey: Survey | None
    totals: list[Total]
    uncounted: int | None
    is_up: bool
    seconds: float
    queues: dict[str, QueueReading] | None = None
    workflows: Workflows | None = None


_lock = threading.Lock()
_kept: tuple[float, Reading] | None = None


def latest_reading() -> Reading:
    """A reading no older than `KEPT_FOR`; scrapes that come together share one."""
    with _lock:
        if _kept is None or time.monotonic() - _kept[0] >= KEPT_FOR.total_seconds():
            _keep(read())
        assert _kept is not None
        return _kept[1]


def note_away() -> None:
    """The database has just been found to be away: the next reading need not wait for it again."""
    with _lock:
        _keep(Reading(None, [], None, is_up=False, seconds=0.0))


def _keep(reading: Reading) -> None:
    global _kept
    _kept = (time.monotonic(), reading)


def read() -> Reading:
    """Survey the system and count what ended since the last time. Never raises for a database that is away or slow."""
    started = time.perf_counter()
    survey, queues, workflows, uncounted, is_up = None, None, None, None, True
    totals: list[Total] = []
    try:
        survey = selectors.survey()
        with selectors.bounded(selectors.SURVEY_TIMEOUT) as cursor:
            queues, workflows = read_busiest(), survey_workflows(cursor)
    except TooSlow as error:
        log.warning("metrics_not_read", error=str(error))
    except DATABASE_ERRORS as error:
        is_up = False
        log.warning("database_unavailable", error=short(error))
    if is_up:
        try:
            totals, uncounted = counting.count_new()
        except (TooSlow, *DATABASE_ERRORS) as error:
            log.warning("metrics_not_counted", error=short(error))
            if leaves_reads(error):
                totals, uncounted = counting.counted_so_far()
    else:
        connection.close()
    return Reading(survey, totals, uncounted, is_up, time.perf_counter() - started, queues, workflows)
