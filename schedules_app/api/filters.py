"""What may be asked of the lists of schedules, of calendars, and of a schedule's ledger."""

from __future__ import annotations

from typing import Final

from django.db.models import Q
from django.http import QueryDict

from access_app.http.listing import Grammar, flag, instant, matching, one_of, read_value, whole
from access_app.http.problems import Problem
from schedules_app.firing_rules import FireState
from schedules_app.selectors import MAX_PREVIEW, reaching
from tasks_app.fields import QUEUE_NAME

DEFAULT_PREVIEW: Final = 20
_NAME: Final = matching(QUEUE_NAME, "must be 1 to 100 characters of A-Z a-z 0-9 . _ : -")
_PAUSED: Final = Q(paused_at__isnull=False, resumed_at__isnull=True)


SCHEDULES: Final = Grammar(
    filters={
        "name": ("name", _NAME),
        "enabled": ("enabled", flag),
        "paused": (lambda paused: _PAUSED if paused else ~_PAUSED, flag),
        "calendar": (lambda name: Q(calendars__contains=[name]), _NAME),
    },
    sorts={"name": "name", "createdAt": "pk"},
    descending=False,
)
FIRES: Final = Grammar(
    filters={
        "state": ("state__in", one_of(list(FireState))),
        "from": (reaching, instant),
        "to": ("slot__lt", instant),
    },
    sorts={"slot": "slot"},
    repeated={"state"},
)
CALENDARS: Final = Grammar(filters={}, sorts={"name": "pk"}, descending=False)


def read_count(parameters: QueryDict) -> int:
    """``?count=`` of a preview. Raises `Problem`."""
    problems = {"count": "must be given once"} if len(parameters.getlist("count")) > 1 else {}
    count: int = read_value(parameters, "count", whole(1, MAX_PREVIEW), DEFAULT_PREVIEW, problems)
    if problems:
        raise Problem.invalid(problems)
    return count
