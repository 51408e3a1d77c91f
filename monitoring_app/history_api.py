"""``GET /health/history``: what a time was like as JSON, and what its query string may ask for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.utils import timezone

from access_app.http.openapi.schemas import INSTANT, schema
from access_app.http.problems import Problem
from access_app.http.query import Parameter, Query, instant, one_of
from access_app.http.times import show_instant
from monitoring_app.histograms import RELATIVE_ERROR
from monitoring_app.history import OUTCOMES, STEPS, Ended, Step, Window, fullest_queues, read_history
from monitoring_app.minutes import KEPT
from monitoring_app.queries import MOST_QUEUES, names_of_queues

MOST_STEPS: Final = 1500
#: So many queues are shown when none is named.
FULLEST: Final = 10
#: A step that is not asked for is the shortest that gives no more of them.
FEW_STEPS: Final = 200
DAY: Final = timedelta(hours=24)
_SECONDS: Final = [str(step // timedelta(seconds=1)) for step in STEPS]


def _step(text: str) -> timedelta:
    return timedelta(seconds=int(one_of(_SECONDS)(text)))


_PARAMETERS: Final = {
    "from": Parameter(instant, INSTANT, "The beginning of the time; 24 hours before its end if absent."),
    "to": Parameter(instant, INSTANT, "The end of the time; now if absent."),
    "step": Parameter(
        _step,
        schema("StepSeconds"),
        f"Seconds of each step; if absent, the shortest that gives at most {FEW_STEPS} of them.",
    ),
    "queues": Parameter(
        names_of_queues,
        {"type": "string"},
        f"Names of queues, separated by commas, at most {MOST_QUEUES}; the {FULLEST} fullest if absent.",
    ),
}
# Made by a call, as `from` is a word of Python.
HistoryQuery: type[Query] = type("HistoryQuery", (Query,), _PARAMETERS)


def read(asked: dict[str, Any]) -> dict[str, Any]:
    """The body of the response. Raises `Problem`."""
    window = window_of(asked, timezone.now())
    names = asked["queues"] or fullest_queues(window, most=FULLEST)
    return {
        "from": show_instant(window.begins[0]),
        "to": show_instant(window.until),
        "stepSeconds": window.step // timedelta(seconds=1),
        "relativeError": round(RELATIVE_ERROR, 4),
        "content": [_step_json(step) for step in read_history(window, names)],
    }


def window_of(asked: dict[str, Any], now: datetime) -> Window:
    """The time that is meant. Raises `Problem`."""
    earliest, latest = now - KEPT - DAY, now + DAY
    until = asked["to"] or now
    if not earliest < until <= latest:
        raise Problem.invalid({"to": f"must lie within the last {KEPT.days} days, or at most one day ahead"})
    since = asked["from"] or max(until - DAY, earliest)
    if since >= until:
        raise Problem.invalid({"from": "must lie before the end of the time (to), which is now if it is not named"})
    if since < earliest:
        raise Problem.invalid({"from": f"must lie within the last {KEPT.days} days: minutes are kept so long"})
    window = Window(since=since, until=until, step=asked["step"] or _shortest(until - since))
    if (until - since) / window.step > MOST_STEPS:
        raise Problem.invalid({"step": f"gives more than {MOST_STEPS} steps; ask for longer ones or for less time"})
    return window


def _shortest(time: timedelta) -> timedelta:
    return next((step for step in STEPS if time / step <= FEW_STEPS), STEPS[-1])


def _step_json(step: Step) -> dict[str, Any]:
    used, available = step.slots or (None, None)
    return {
        "at": show_instant(step.at),
        **_ended_json(step.all_types),
        "byType": {name: _ended_json(ended) for name, ended in step.types.items()},
        "byQueue": {
            name: {"attempts": found.attempts, "waiting": found.waiting, "oldestDueSeconds": _rounded(found.oldest_due)}
            for name, found in sorted(step.queues.items())
        },
        "slots": None if step.slots is None else {"used": used, "available": available},
    }


def _ended_json(ended: Ended) -> dict[str, Any]:
    return {
        "attempts": ended.attempts,
        "byOutcome": {status: ended.counts[column] for status, column in OUTCOMES.items()},
        "retries": ended.counts["retried"],
        "failedTasks": ended.counts["given_up"],
        "startDelayMs": _milliseconds(ended.start_delays),
        "durationMs": _milliseconds(ended.durations),
    }


def _milliseconds(seconds: dict[str, float] | None) -> dict[str, float] | None:
    return seconds and {name: round(value * 1000, 1) for name, value in seconds.items()}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
