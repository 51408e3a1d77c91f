"""How schedules are found by Ctrl-K: by id, or by a part of the name."""

from __future__ import annotations

from collections.abc import Iterator

from access_app.rights import Action
from access_app.staff import display
from access_app.staff.finding import MOST, Asked, Found, finds
from schedules_app.models import Schedule


@finds(Action.SCHEDULE_READ)
def find_schedules(asked: Asked) -> Iterator[Found]:
    if asked.as_id is not None:
        rows = Schedule.objects.filter(pk=asked.as_id)
    elif asked.is_name:
        rows = Schedule.objects.filter(name__icontains=asked.text)
    else:
        return
    for schedule in rows.only("name").order_by("name")[:MOST]:
        yield Found("Schedule", schedule.name, display.page_url(schedule))
