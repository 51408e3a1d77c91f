"""What the list of schedules shows in its cells, and the reads that a page of it needs beside its rows."""

from __future__ import annotations

from typing import Any, Final

from django.db.models.fields.json import KeyTextTransform
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from access_app.sql import database_now
from access_app.staff import display
from schedules_app import selectors
from schedules_app.admin.ledger import utc
from schedules_app.admin.next_fires import next_fires
from schedules_app.admin.schedule_page import expression_of, health_badge, recurrence_of, state_of
from schedules_app.models import Schedule, ScheduleFire

_SHOWN_FIRES: Final = 10


def prepare(rows: list[Any]) -> None:
    """Add how each is, its newest slots, and the part of its template that is shown: a query for each of these."""
    ids, now = [row.pk for row in rows], database_now()
    fires = selectors.newest_fires(ids, limit=_SHOWN_FIRES)
    types = dict(Schedule.objects.filter(pk__in=ids).values_list("pk", KeyTextTransform("type", "task")))
    conditions, coming = selectors.conditions_of(rows), next_fires(rows, now)
    for row in rows:
        row.what, row.noun = types.get(row.pk) or "a batch", "task" if types.get(row.pk) else "batch"
        row.task = row.callback = None  # what may be large is not read
        row.now, row.fires, row.how = now, fires.get(row.pk, []), conditions[row.pk]
        row.next_words = coming[row.pk]
        recurrence, broken = recurrence_of(row, now)
        row.words = recurrence.explain() if recurrence else broken


def name_cell(row: Any) -> SafeString:
    return format_html(
        '<span class="ts-task"><b class="ts-name">{}</b><span class="ts-what" title="{}">{}</span></span>',
        row.name,
        f"{expression_of(row)}: {row.words}",
        row.words,
    )


def state_cell(row: Any) -> SafeString:
    """The state; of a paused one by whom and why."""
    badge = display.badge(state_of(row))
    if not row.paused:
        return badge
    why = f"by {row.paused_by}" + (f": {display.words(row.pause_reason)}" if row.pause_reason else "")
    return format_html(
        '<span class="ts-task"><span>{}</span><span class="ts-what" title="{}, since {}">{}</span></span>',
        badge,
        why,
        display.exact(row.paused_at),
        why,
    )


def health_cell(row: Any) -> SafeString:
    return format_html("{} {}", health_badge(row.how, row.noun, fresh=not row.fires), squares(row.fires))


def squares(fires: list[ScheduleFire]) -> SafeString:
    """The newest slots as a row of squares, newest last; the words are there for those who do not see them."""
    states = ", ".join(fire.state.lower().replace("_", " ") for fire in fires)
    marks = format_html_join(
        "",
        '<i class="ts-{}" title="{} {}{}"></i>',
        (
            (display.tone(fire.state), utc(fire.slot), fire.state, f": {fire.note}" if fire.note else "")
            for fire in reversed(fires)
        ),
    )
    label = f"Latest slots, newest first: {states}" if fires else "No slots yet"
    return format_html('<span class="ts-squares" role="img" aria-label="{}">{}</span>', label, marks)
