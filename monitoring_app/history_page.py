"""The page of history: charts of an hour, a day or a week, read from minutes, with the marks that people have set.

Who may not see tasks, queues or workers does not see their charts. What is read is kept for some seconds, whoever
looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib import admin
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from access_app.patience import TooSlow
from access_app.rights import Action, Person
from access_app.staff import display
from access_app.staff.live import frame_of
from monitoring_app import charts, selectors
from monitoring_app.charts import Chart, Series
from monitoring_app.histograms import FRACTIONS, RELATIVE_ERROR
from monitoring_app.history import STEPS, Step, Window, floor, fullest_queues, read_history
from monitoring_app.marks import marks_between

KEPT_SECONDS: Final = 10
MOST_QUEUES: Final = 6
MOST_TYPES: Final = 6
MOST_MARKS: Final = 40
_TONES: Final = ("ts-blue", "ts-orange", "ts-green", "ts-purple", "ts-red", "ts-faint")
_DASHES: Final = ("", "ts-dashed", "ts-dotted")
#: A time below this is drawn as this.
_LEAST: Final = 0.001


@dataclass(frozen=True, slots=True)
class Look:
    """One of the times that the page shows."""

    key: str
    title: str
    time: timedelta
    step: timedelta
    format: str


LOOKS: Final = (
    Look("1h", "1 hour", timedelta(hours=1), STEPS[0], "%H:%M"),
    Look("24h", "24 hours", timedelta(hours=24), STEPS[1], "%d %b %H:%M"),
    Look("7d", "7 days", timedelta(days=7), STEPS[2], "%a %d %b %H:%M"),
)
_SHOWN: Final = {"task": Action.TASK_READ, "queue": Action.QUEUE_READ, "worker": Action.WORKER_READ}


def history_page(request: HttpRequest) -> HttpResponse:
    """``/admin/history/?last=1h|24h|7d``, with one chart as a table (``table``); anything else is refused."""
    person = Person(request.user)
    may = {name: person.may(action) for name, action in _SHOWN.items()}
    if not any(may.values()):
        raise PermissionDenied
    request.current_app = admin.site.name
    shown: dict[str, Any] = {"title": "History", "looks": LOOKS, "may": may}
    look, problem = _asked(request)
    if look is None:
        shown["problem"], status = problem, 400
    else:
        drawn = _drawn(look)
        status = 503 if drawn.get("too_slow") else 200
        seen = [chart for part, chart in drawn.get("parts", ()) if may[part]]
        shown |= {"look": look, **drawn, "charts": seen, "table": request.GET.get("table")}
    frame = frame_of(request) or admin.site.each_context(request)
    return TemplateResponse(request, "admin/scheduler/history.html", {**frame, **shown}, status=status)


def _asked(request: HttpRequest) -> tuple[Look | None, str]:
    if unknown := sorted(request.GET.keys() - {"last", "table"}):
        return None, f"There is no such filter here: {unknown[0][:100]}."
    wanted = request.GET.getlist("last") or [LOOKS[0].key]
    looks = {look.key: look for look in LOOKS}
    if len(wanted) > 1 or wanted[0] not in looks:
        return None, f"last must be one of {', '.join(looks)}."
    return looks[wanted[0]], ""


def _drawn(look: Look) -> dict[str, Any]:
    """The charts, at most ten seconds old, each with what one must be allowed to see for it."""
    key = f"history:{look.key}"
    kept: dict[str, Any] | None = cache.get(key)
    if kept is None:
        try:
            kept = draw(look, timezone.now())
        except TooSlow:
            return {"too_slow": True}
        cache.set(key, kept, KEPT_SECONDS)
    return kept


def draw(look: Look, now: datetime) -> dict[str, Any]:
    """All charts of a time, and the marks in it. Raises `TooSlow`."""
    until = floor(now, look.step) + look.step
    window = Window(since=until - look.time, until=until, step=look.step)
    with selectors.bounded(selectors.SURVEY_TIMEOUT):
        queues = fullest_queues(window, most=MOST_QUEUES)
        steps = read_history(window, queues)
        marks = marks_between(window.since, until, most=MOST_MARKS)
    return {
        "now": now,
        "start": f"{window.since:{look.format}}",
        "parts": draw_all(steps, queues, look.format),
        "marks": [
            {
                "x": round((mark.at - window.since) / look.step, 2),
                "name": display.words(mark.name),
                "at": f"{mark.at:{look.format}}",
            }
            for mark in marks
        ],
    }


def draw_all(steps: Sequence[Step], queues: Sequence[str], form: str) -> list[tuple[str, Chart]]:
    times = [f"{step.at:{form}}" for step in steps]
    return [
        ("task", _outcomes(steps, times)),
        ("task", _start_delays(steps, times)),
        ("task", _durations(steps, times)),
        ("queue", _waiting(steps, queues, times)),
        ("queue", _oldest_due(steps, queues, times)),
        ("worker", _slots(steps, times)),
    ]


def _outcomes(steps: Sequence[Step], times: Sequence[str]) -> Chart:
    ended = [step.all_types for step in steps]
    counts = [each.counts for each in ended]
    known = [count["success"] + count["retried"] + count["given_up"] + count["cancelled"] for count in counts]
    series = [
        Series("succeeded", "ts-green", [count["success"] for count in counts]),
        Series("to be retried", "ts-orange", [count["retried"] for count in counts]),
        Series("failed", "ts-red", [count["given_up"] for count in counts]),
        Series("cancelled", "ts-purple", [count["cancelled"] for count in counts]),
        Series(
            "lost or given back", "ts-faint", [each.attempts - sure for each, sure in zip(ended, known, strict=True)]
        ),
    ]
    return charts.bars("ended", "Attempts ended, by outcome", series, times, show=_count)


def _start_delays(steps: Sequence[Step], times: Sequence[str]) -> Chart:
    found = [step.all_types.start_delays for step in steps]
    series = [
        Series(name, tone, [_of(each, name) for each in found], dash)
        for name, tone, dash in zip(FRACTIONS, ("ts-green", "ts-blue", "ts-red"), _DASHES, strict=True)
    ]
    near = f"Percentiles are within {100 * RELATIVE_ERROR:.1f} % of the true ones."
    note = f"From when a task was due to its start. {near}"
    return charts.lines("start-delay", "Start delay", series, times, show=_time, note=note, least=_LEAST)


def _durations(steps: Sequence[Step], times: Sequence[str]) -> Chart:
    most: dict[str, int] = {}
    for step in steps:
        for name, ended in step.types.items():
            most[name] = most.get(name, 0) + ended.attempts
    names = sorted(most, key=lambda name: (-most[name], name))[:MOST_TYPES]
    series = [
        _series(
            number, name, [_of(step.types[name].durations, "p95") if name in step.types else None for step in steps]
        )
        for number, name in enumerate(names)
    ]
    note = "The 95th percentile of each type." if len(most) <= MOST_TYPES else "Of the types with most attempts."
    return charts.lines("duration", "Run time by type, p95", series, times, show=_time, note=note, least=_LEAST)


def _waiting(steps: Sequence[Step], queues: Sequence[str], times: Sequence[str]) -> Chart:
    def count(step: Step, name: str) -> float | None:
        return step.queues[name].waiting if name in step.queues else None

    series = [_series(number, name, [count(step, name) for step in steps]) for number, name in enumerate(queues)]
    note = "The most at a look a minute, of the fullest queues; no more than 20,000 are counted of many queues."
    return charts.lines("waiting", "Waiting, by queue", series, times, show=_count, note=note)


def _oldest_due(steps: Sequence[Step], queues: Sequence[str], times: Sequence[str]) -> Chart:
    def age(step: Step, name: str) -> float | None:
        found = step.queues.get(name)
        return None if found is None or found.waiting is None else found.oldest_due or 0.0

    series = [_series(number, name, [age(step, name) for step in steps]) for number, name in enumerate(queues)]
    note = "How long past its time the longest waiting task was."
    return charts.lines("oldest-due", "Oldest due, by queue", series, times, show=_time, note=note, least=_LEAST)


def _slots(steps: Sequence[Step], times: Sequence[str]) -> Chart:
    series = [
        Series("available", "ts-faint", [step.slots and step.slots[1] for step in steps], "ts-dashed"),
        Series("used", "ts-blue", [step.slots and step.slots[0] for step in steps]),
    ]
    return charts.lines("slots", "Slots used, of those available", series, times, show=_count, note="Of live workers.")


def _of(found: dict[str, float] | None, name: str) -> float | None:
    return None if found is None else found[name]


def _series(number: int, name: str, values: Sequence[float | None]) -> Series:
    return Series(name, _TONES[number % len(_TONES)], values, _DASHES[number % len(_DASHES)])


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:,.1f}"


def _time(seconds: float) -> str:
    return display.span(timedelta(seconds=seconds))
