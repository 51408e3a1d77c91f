"""Marks: instants with a name, such as deploys, that charts show. Setting one, and taking it away.

Nothing else is done about them: a mark changes no task. The newest `MOST_MARKS` by their time are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from access_app import audit
from access_app.refusals import InvalidInput, NotFound
from access_app.texts import MAX_NAME, problem_of_line
from monitoring_app.models import Mark

MOST_MARKS: Final = 10_000


class MarkNotFound(NotFound):
    """No mark has this id."""


def problem_of_name(name: str) -> str | None:
    """What is wrong with the name of a mark; None for nothing."""
    return "must not be empty" if not name else problem_of_line(name, MAX_NAME)


def set_mark(name: str, at: datetime | None = None, *, actor: str) -> tuple[Mark, bool]:
    """Set a mark, now if no time is named, and say whether it is new: a name stands once at an instant.

    The oldest beyond `MOST_MARKS` go. Raises `InvalidInput`.
    """
    name = name.strip()
    if problem := problem_of_name(name):
        raise InvalidInput({"name": problem})
    with transaction.atomic():
        mark, made = Mark.objects.get_or_create(name=name, at=at or timezone.now(), defaults={"created_by": actor})
        if made:
            _record("mark.set", mark, actor)
            _forget_oldest(mark)
    return mark, made


def delete_mark(mark_id: int, *, actor: str) -> None:
    """Take a mark away. Raises `MarkNotFound`."""
    with transaction.atomic():
        mark = Mark.objects.select_for_update().filter(pk=mark_id).first()
        if mark is None:
            raise MarkNotFound(f"there is no mark {mark_id}")
        _record("mark.deleted", mark, actor)
        mark.delete()


def marks_between(since: datetime, until: datetime, *, most: int = 100) -> Sequence[Mark]:
    """The latest marks of a time, oldest first, for a chart of it. Index: marks_once."""
    return list(Mark.objects.filter(at__gte=since, at__lt=until).order_by("-at", "-id")[:most])[::-1]


def _record(action: str, mark: Mark, actor: str) -> None:
    audit.record(actor, action, f"mark:{mark.pk}", detail={"name": mark.name, "at": mark.at.isoformat()})


def _forget_oldest(mark: Mark) -> None:
    beyond: Any = Mark.objects.order_by("-at", "-id")[MOST_MARKS:]
    if mark in beyond:
        raise InvalidInput({"at": f"is before all {MOST_MARKS:,} marks that there are, and no more are kept"})
    Mark.objects.filter(pk__in=beyond.values("pk")).delete()
