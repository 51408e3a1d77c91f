"""The table of freezes: what is held, why, until when, and how it was let go."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from functools import reduce
from operator import or_
from typing import Final

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from flow_app.columns import rate_columns


class FreezeStatus(StrEnum):
    """Whether it holds what it names; has let go, and some of what waited is not back yet; or is over."""

    OPEN = "OPEN"
    THAWING = "THAWING"
    ENDED = "ENDED"


class Freeze(models.Model):
    """Nothing that it covers starts while it is open: the tasks of these queues, of these types, and that call these
    targets. It ends by itself at ``until``.

    What waits behind a type or a target has the gate FREEZE, and comes back after the thaw, at the rate in the columns
    ``thaw_…`` if there is one; ``thaw_full_at`` is the state of its bucket (``rates.Bucket``). Written with the pass
    held.
    """

    id = models.UUIDField(primary_key=True)
    created_at = models.DateTimeField(db_default=Now())
    until = models.DateTimeField(null=True, blank=True)
    thawed_at = models.DateTimeField(null=True, blank=True, help_text="Since when it holds nothing any more.")
    ended_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when nothing is left of what waited for it."
    )
    queues = ArrayField(models.TextField(), db_default=[])
    targets = ArrayField(models.TextField(), db_default=[])
    types = ArrayField(models.TextField(), db_default=[])
    reason = models.TextField(blank=True, db_default="")
    created_by = models.TextField()
    thawed_by = models.TextField(blank=True, db_default="")
    thaw_limit = models.IntegerField(null=True, blank=True)
    thaw_period = models.IntegerField(null=True, blank=True)
    thaw_burst = models.IntegerField(null=True, blank=True)
    thaw_full_at = models.DateTimeField(null=True, blank=True)
    version = models.IntegerField(db_default=1)

    class Meta:
        db_table = "freezes"
        ordering = ["-id"]
        indexes = [
            # open_freezes, and whoever thaws: the few that are not over.
            models.Index(fields=["id"], name="freezes_going", condition=Q(ended_at__isnull=True)),
        ]
        constraints = [
            models.CheckConstraint(name="freezes_name_something", condition=~Q(queues=[], targets=[], types=[])),
            models.CheckConstraint(
                name="freezes_end_thawed", condition=Q(ended_at__isnull=True) | Q(thawed_at__isnull=False)
            ),
            models.CheckConstraint(name="freezes_thaw", condition=rate_columns("thaw")),
        ]

    def __str__(self) -> str:
        return ", ".join(name for names in self.names.values() for name in names)

    @property
    def status(self) -> FreezeStatus:
        """By this process's clock."""
        if self.ended_at is not None:
            return FreezeStatus.ENDED
        return FreezeStatus.OPEN if self.is_open else FreezeStatus.THAWING

    @property
    def is_open(self) -> bool:
        """Whether it holds what it names, by this process's clock."""
        return self.thawed_at is None and (self.until is None or self.until > timezone.now())

    @property
    def names(self) -> dict[str, list[str]]:
        """What it names, by kind, without the kinds of which it names nothing."""
        named = {"queues": self.queues, "targets": self.targets, "types": self.types}
        return {kind: names for kind, names in named.items() if names}


#: Those that are not over.
GOING: Final = Q(ended_at__isnull=True)
_HOLDS: Final = Q(thawed_at__isnull=True) & (Q(until__isnull=True) | Q(until__gt=Now()))
_ROWS: Final = {
    FreezeStatus.OPEN: GOING & _HOLDS,
    FreezeStatus.THAWING: GOING & (Q(thawed_at__isnull=False) | Q(until__lte=Now())),
    FreezeStatus.ENDED: Q(ended_at__isnull=False),
}


def of_statuses(statuses: Iterable[FreezeStatus]) -> Q:
    """The rows of any of these, by the clock of the database."""
    return reduce(or_, (_ROWS[each] for each in statuses))
