"""What a schedule's form would do, while it is filled in: words, the next times, clock changes, and problems by field.

The checks are those of saving, but for the name and the task, which the form asks about when it is sent.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from access_app.sql import database_now
from schedules_app import selectors, services
from schedules_app.admin import times
from schedules_app.admin.schedule_form import WhenForm
from schedules_app.effort import TooCostly
from schedules_app.models import Schedule
from schedules_app.new_schedules import InvalidSchedule, NewSchedule, check_schedule
from schedules_app.recurrence import parse
from tasks_app.fields import NewTask


def preview(request: HttpRequest, row: Schedule | None) -> HttpResponse:
    """Return the times of the posted form as JSON; ``row``: the schedule that is edited. Changes nothing."""
    form = WhenForm(request.POST, named=row.calendars if row else ())
    now = database_now()
    shown: dict[str, Any] = {"explanation": "", "fires": [], "changes": []}
    if form.is_valid():
        new = NewSchedule(name="preview", task=NewTask(type=""), **form.when())
        form.show_problems(_problems(new, row, now))
        if not form.errors:
            try:
                shown = _shown(new, row.anchor_at if row else now.replace(microsecond=0), now)
            except TooCostly as error:
                form.add_error(None, str(error))
    problems = {name: [str(error) for error in errors] for name, errors in form.errors.items()}
    return JsonResponse({**shown, "problems": problems})


def _problems(new: NewSchedule, row: Schedule | None, now: datetime) -> dict[str, str]:
    same = row is not None and _times(services.definition_of(row), now) == _times(new, now)
    try:
        check_schedule(new, now=now, may_have_ended=same)
    except InvalidSchedule as error:
        return {path: problem for path, problem in error.problems.items() if not path.startswith("task.")}
    return {}


def _times(new: NewSchedule, now: datetime) -> Any:
    return new.definition(created_at=now)


def _shown(new: NewSchedule, created_at: datetime, now: datetime) -> dict[str, Any]:
    recurrence = parse(new.definition(created_at=created_at))
    blackouts = selectors.calendars_of(new.calendars)
    return {
        "explanation": recurrence.explain(),
        "fires": [asdict(time) for time in times.next_times(recurrence, after=now, blackouts=blackouts)],
        "changes": [asdict(time) for time in times.clock_changes(recurrence, after=now)],
    }
