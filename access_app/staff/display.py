"""How single values look in the staff UI: badges, instants, spans of time, links. Everything is escaped here.

Pure: values in, safe HTML out. How a whole result looks is ``outputs``' matter.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from access_app.masking import MASK, mask_urls

EMPTY: Final = "\N{EN DASH}"
_JUST_NOW: Final = timedelta(seconds=1)
#: Colour of each status, of tasks, attempts, workers, keys and slots of schedules alike. The word is always there too.
_TONES: Final = {
    "PENDING": "grey",
    "SCHEDULED": "indigo",
    "RUNNING": "blue",
    "SUCCESS": "green",
    "FAILED": "red",
    "CANCELLED": "faint",
    "TIMED_OUT": "orange",
    "LOST": "purple",
    "RELEASED": "faint",
    "ACTIVE": "green",
    "DRAINING": "orange",
    "SILENT": "purple",
    "STOPPED": "faint",
    "DEAD": "red",
    "OPEN": "green",
    "CLOSED": "orange",
    "BACKING_OFF": "orange",
    "PAUSED": "orange",
    "FROZEN": "blue",
    "THAWING": "orange",
    "VALID": "green",
    "EXPIRED": "orange",
    "REVOKED": "faint",
    "OWNER_GONE": "red",
    "DISABLED": "faint",
    "ENDED": "faint",
    "OK": "green",
    "OVERDUE": "red",
    "PUT_OFF": "red",
    "FAILING": "red",
    "OVERLAPPING": "purple",
    "FIRED": "green",
    "LATE": "orange",
    "COALESCED": "indigo",
    "SKIPPED_OVERLAP": "purple",
    "SKIPPED_BLACKOUT": "blue",
    "SKIPPED_PAUSED": "faint",
    "SKIPPED_DST": "faint",
    "MISSED": "red",
}

#: The worker in an actor, or in "assigned to worker:…"; the task in "task … has not ended"; the batch in the like.
_LINKED: Final = re.compile(r"(worker:|task |batch )([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
#: Below so many seconds: unit and its seconds, smaller unit and its seconds.
_SCALES: Final = (
    (60, 1, "s", 1, ""),
    (3_600, 60, "min", 1, "s"),
    (86_400, 3_600, "h", 60, "min"),
    (8_640_000, 86_400, "d", 3_600, "h"),
)


def badge(status: str) -> SafeString:
    return format_html('<span class="ts-badge ts-{}">{}</span>', tone(status), status.replace("_", " "))


def tone(status: str) -> str:
    """The colour of a status, as the last part of a class name."""
    return _TONES.get(status, "grey")


def page_url(row: Model) -> str:
    """The address of a row's page."""
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return reverse(name, args=[quote(row.pk)])


def task_link(task_id: UUID) -> SafeString:
    url = reverse("admin:tasks_app_task_change", args=[task_id])
    return format_html('<a class="ts-link ts-mono" href="{}" title="{}">{}</a>', url, task_id, short_id(task_id))


def batch_link(batch_id: UUID) -> SafeString:
    url = reverse("admin:workflows_app_batch_change", args=[batch_id])
    return format_html('<a class="ts-link ts-mono" href="{}" title="{}">{}</a>', url, batch_id, short_id(batch_id))


def worker_link(worker_id: UUID | None) -> SafeString | str:
    if worker_id is None:
        return EMPTY
    url = reverse("admin:workers_app_worker_change", args=[worker_id])
    return format_html('<a class="ts-link ts-mono" href="{}" title="{}">{}</a>', url, worker_id, short_id(worker_id))


def schedule_link(schedule_id: UUID) -> SafeString:
    url = reverse("admin:schedules_app_schedule_change", args=[schedule_id])
    return format_html(
        '<a class="ts-link ts-mono" href="{}" title="{}">{}</a>', url, schedule_id, short_id(schedule_id)
    )


_LINKS: Final = {"worker:": worker_link, "task ": task_link, "batch ": batch_link}


def with_links(text: str) -> SafeString:
    """A text in which ``worker:<id>`` and the ids of ``task <id>`` and ``batch <id>`` are links, the rest is escaped.

    Credentials in URLs are masked: reasons and errors quote them.
    """
    plain, *found = _LINKED.split(words(text))
    pieces: list[SafeString | str] = [plain]
    for kind, row_id, rest in zip(found[::3], found[1::3], found[2::3], strict=True):
        shown = _LINKS[kind](UUID(row_id))
        pieces += [shown] if kind == "worker:" else [kind, shown]
        pieces.append(rest)
    return format_html_join("", "{}", ((piece,) for piece in pieces))


def words(text: str | None) -> str:
    """What somebody wrote or a program said, without the credentials in URLs."""
    return mask_urls(text or "", MASK)


def link(url: str, text: str) -> SafeString:
    return format_html('<a class="ts-link" href="{}">{}</a>', url, text)


def query(**parameters: str) -> str:
    return urlencode(parameters)


def short_id(row_id: UUID) -> str:
    """The end of an id: the start of a UUIDv7 is a time, which neighbours share."""
    return f"…{str(row_id)[-12:]}"


def instant(at: datetime | None, now: datetime | None = None) -> SafeString | str:
    """When something was or will be, as a distance from now; the exact instant shows on hover.

    For instants that may lie on either side (an expiry): what has happened is `past`, what is to happen `due`.
    """
    if at is None:
        return EMPTY
    distance = at - (now or timezone.now())
    text = f"in {brief(distance)}" if distance > timedelta(0) else f"{brief(-distance)} ago"
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), exact(at), text)


def past(at: datetime | None, now: datetime | None = None) -> SafeString | str:
    """When something happened. Never ahead: clocks of hosts differ, and ``now`` may be older than the row."""
    if at is None:
        return EMPTY
    distance = (now or timezone.now()) - at
    text = f"{brief(distance)} ago" if distance >= _JUST_NOW else "just now"
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), exact(at), text)


def due(at: datetime | None, now: datetime | None = None) -> SafeString | str:
    """When something is to happen; what should have happened is overdue."""
    if at is None:
        return EMPTY
    distance = at - (now or timezone.now())
    text = f"in {brief(distance)}" if distance > -_JUST_NOW else f"{brief(-distance)} overdue"
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), exact(at), text)


def exact(at: datetime | None) -> str:
    """An instant to the millisecond, in UTC."""
    return EMPTY if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d} UTC"


def span(length: timedelta | None) -> str:
    """A span of time with the two units that matter."""
    if length is None:
        return EMPTY
    seconds = length / timedelta(seconds=1)
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    for below, big, unit, small, small_unit in _SCALES:
        if seconds < below:
            units, rest = divmod(round(seconds), big)
            return f"{units} {unit}" + (f" {rest // small} {small_unit}" if rest // small else "")
    return f"{round(seconds / 86_400):,} d"


def brief(length: timedelta) -> str:
    """A span of time with the unit that matters most, for columns."""
    return " ".join(span(length).split()[:2])


def bar(part: int, whole: int) -> SafeString:
    """How full something is, as a number and a bar."""
    percent = min(100, round(100 * part / whole)) if whole else 0
    tone = "red" if percent >= 100 else "orange" if percent >= 80 else "green"
    return format_html(
        '<span class="ts-load"><svg class="ts-meter ts-{}" aria-hidden="true"><rect width="{}%" height="100%"/></svg>'
        "<span>{} / {}</span></span>",
        tone,
        percent,
        part,
        whole,
    )


def number(value: int, *, at_most: int | None = None) -> str:
    """A count; one that reached its bound is marked as more."""
    return f"{value:,}" if at_most is None or value < at_most else f"{at_most:,}+"


def text_or_dash(value: Any) -> str:
    return EMPTY if value in (None, "") else str(value)
