"""Tables of queues, of the hosts that tasks call, and of the pass that gives tasks to workers."""

from __future__ import annotations

from typing import Final

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now
from django.utils import timezone

from access_app.texts import MAX_NAME
from flow_app.columns import rate_columns
from flow_app.freeze_table import Freeze as Freeze
from flow_app.rates import LONGEST_PERIOD, MOST_STARTS
from flow_app.rules import LONGEST_AGE, MOST_CONCURRENT, MOST_PER_KEY, MOST_WAITING, MOST_WEIGHT, FairBy
from tasks_app.executors.http_payload import MAX_HOST

BOUNDED: Final = Q(max_waiting__isnull=False) | Q(key_max_waiting__isnull=False)


class QueueQuerySet(models.QuerySet["Queue"]):
    def paused(self) -> QueueQuerySet:
        """Those that are paused now, by the database's clock."""
        return self.filter(pk__in=RawSQL("SELECT name FROM paused_queues", []))


class Queue(models.Model):
    """A queue somebody has paused or configured. A queue without a row exists as well: naming it is enough."""

    name = models.CharField(max_length=MAX_NAME, primary_key=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_until = models.DateTimeField(null=True, blank=True)
    pause_reason = models.TextField(blank=True, db_default="")
    paused_by = models.TextField(blank=True, db_default="")
    frozen = models.BooleanField(default=False, db_default=False, help_text="A freeze holds it, or did until lately.")
    frozen_until = models.DateTimeField(null=True, blank=True)
    max_concurrency = models.IntegerField(
        null=True, blank=True, help_text="At most so many of its tasks are assigned or running; 0 closes it."
    )
    rate_limit = models.IntegerField(null=True, blank=True)
    rate_period = models.IntegerField(null=True, blank=True)
    rate_burst = models.IntegerField(null=True, blank=True)
    fair_by = models.TextField(
        null=True, blank=True, help_text="What tells the tenants apart that share it; NULL: it is not shared."
    )
    has_turns = models.BooleanField(
        db_default=False, help_text="Tasks of it may wait for the turns of tenants: it is shared, or was until lately."
    )
    thaw_limit = models.IntegerField(null=True, blank=True)
    thaw_period = models.IntegerField(null=True, blank=True)
    thaw_burst = models.IntegerField(null=True, blank=True)
    thaw_since = models.DateTimeField(null=True, blank=True)
    key_max_concurrency = models.SmallIntegerField(
        null=True,
        blank=True,
        help_text="At most so many tasks of one concurrency key are assigned or running; NULL: 1.",
    )
    priority_age_seconds = models.IntegerField(
        null=True, blank=True, help_text="Tasks that wait rise by a level in so many seconds; NULL: never."
    )
    max_waiting = models.IntegerField(
        null=True, blank=True, help_text="While so many of its tasks wait, new ones are refused; NULL: never."
    )
    key_max_waiting = models.IntegerField(
        null=True, blank=True, help_text="While so many tasks of one concurrency key wait, new ones of it are refused."
    )
    key_rate_limit = models.IntegerField(null=True, blank=True)
    key_rate_period = models.IntegerField(null=True, blank=True)
    key_rate_burst = models.IntegerField(null=True, blank=True)
    key_rate_since = models.DateTimeField(db_default=Now())
    callback = models.JSONField(null=True, blank=True, help_text="Of new tasks that say nothing of one.")
    version = models.IntegerField(db_default=1)
    created_at = models.DateTimeField(db_default=Now())

    objects = QueueQuerySet.as_manager()

    class Meta:
        db_table = "queues"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                name="queues_until_needs_pause",
                condition=Q(paused_until__isnull=True) | Q(paused_at__isnull=False),
            ),
            models.CheckConstraint(
                name="queues_until_needs_freeze", condition=Q(frozen_until__isnull=True) | Q(frozen=True)
            ),
            models.CheckConstraint(
                name="queues_max_concurrency", condition=Q(max_concurrency__range=(0, MOST_CONCURRENT))
            ),
            models.CheckConstraint(name="queues_rate", condition=rate_columns("rate")),
            models.CheckConstraint(name="queues_fair_by", condition=Q(fair_by__in=[str(each) for each in FairBy])),
            models.CheckConstraint(
                name="queues_thaw",
                condition=Q(
                    thaw_limit__isnull=True, thaw_period__isnull=True, thaw_burst__isnull=True, thaw_since__isnull=True
                )
                | Q(
                    thaw_limit__range=(1, MOST_STARTS),
                    thaw_period__range=(1, LONGEST_PERIOD),
                    thaw_burst__range=(0, F("thaw_limit")),
                    thaw_since__isnull=False,
                ),
            ),
            models.CheckConstraint(
                name="queues_key_max_concurrency", condition=Q(key_max_concurrency__range=(1, MOST_PER_KEY))
            ),
            models.CheckConstraint(name="queues_age", condition=Q(priority_age_seconds__range=(1, LONGEST_AGE))),
            models.CheckConstraint(
                name="queues_waiting",
                condition=(Q(max_waiting__isnull=True) | Q(max_waiting__range=(0, MOST_WAITING)))
                & (Q(key_max_waiting__isnull=True) | Q(key_max_waiting__range=(0, MOST_WAITING))),
            ),
            models.CheckConstraint(name="queues_key_rate", condition=rate_columns("key_rate")),
        ]
        indexes = [
            # survey_shared: the queues that are shared; empty while none is.
            models.Index("name", name="queues_with_turns", condition=Q(has_turns=True)),
            # bounded_queues: whoever creates tasks asks for these; empty while none is bounded.
            models.Index("name", name="queues_bounded", condition=BOUNDED),
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def unset(cls, name: str) -> Queue:
        """A queue that nobody has paused or given rules, as it would be: at version 0."""
        return cls(name=name, version=0, pause_reason="", paused_by="")

    @property
    def is_paused(self) -> bool:
        """Whether its pause lasts, by this process's clock."""
        return self.paused_at is not None and (self.paused_until is None or self.paused_until > timezone.now())

    @property
    def is_frozen(self) -> bool:
        """Whether a freeze holds it, by this process's clock."""
        return self.frozen and (self.frozen_until is None or self.frozen_until > timezone.now())


class Bucket(models.Model):
    """How far ahead of its rate something is: a row per rate. ``full_at`` is the state of ``rates.Bucket``.

    ``task_ids`` were given to workers and had not started when it was charged last; ``attempts`` are how many attempts
    each had behind it then. The views ``rated_queues`` and ``rated_targets`` have the state as it is now. Written with
    the pass held.
    """

    kind = models.TextField()
    name = models.TextField()
    full_at = models.DateTimeField()
    task_ids = ArrayField(models.UUIDField(), db_default=[])
    attempts = ArrayField(models.IntegerField(), db_default=[])

    class Meta:
        db_table = "buckets"
        constraints = [models.UniqueConstraint(name="buckets_of", fields=["kind", "name"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class KeyBucket(models.Model):
    """The bucket of a concurrency key whose queue has a rate for each key; there only while it is not full.

    Columns as in `Bucket`. ``opens_at`` is when `opening.open_keys` looks whether something may be opened that waits
    for a token of the key; NULL: there is nothing, or it is up to somebody else. The function ``rated_key`` has the
    state as it is now, also where there is no row.
    """

    queue = models.CharField(max_length=MAX_NAME)
    key = models.TextField()
    full_at = models.DateTimeField()
    task_ids = ArrayField(models.UUIDField(), db_default=[])
    attempts = ArrayField(models.IntegerField(), db_default=[])
    opens_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "key_buckets"
        constraints = [models.UniqueConstraint(name="key_buckets_of", fields=["queue", "key"])]
        indexes = [
            # open_keys: those whose time has come.
            models.Index(fields=["opens_at"], name="key_buckets_opening", condition=Q(opens_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.key} in {self.queue}"


class QueueKey(models.Model):
    """A key of a queue that is treated otherwise than the rules of the queue say. Most keys have no row."""

    queue = models.CharField(max_length=MAX_NAME)
    key = models.TextField()
    max_concurrency = models.SmallIntegerField(
        null=True, blank=True, help_text="At most so many of its tasks are assigned or running; NULL: as in the queue."
    )
    weight = models.SmallIntegerField(db_default=1, help_text="Its share in a queue that is shared by this key.")
    paused = models.BooleanField(db_default=False, help_text="Nothing of it starts.")
    version = models.IntegerField(db_default=1)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "queue_keys"
        ordering = ["queue", "key"]
        constraints = [
            models.UniqueConstraint(fields=["queue", "key"], name="queue_keys_key"),
            models.CheckConstraint(
                name="queue_keys_ranges",
                condition=Q(weight__range=(1, MOST_WEIGHT))
                & (Q(max_concurrency__isnull=True) | Q(max_concurrency__range=(1, MOST_PER_KEY))),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key} in {self.queue}"


class Target(models.Model):
    """A host that tasks call and that has rules. A task is of one by the host its payload names (``tasks.target``)."""

    host = models.CharField(max_length=MAX_HOST, primary_key=True)
    max_concurrency = models.IntegerField(
        null=True, blank=True, help_text="At most so many tasks that call it are assigned or running; 0 closes it."
    )
    rate_limit = models.IntegerField(null=True, blank=True)
    rate_period = models.IntegerField(null=True, blank=True)
    rate_burst = models.IntegerField(null=True, blank=True)
    respect_retry_after = models.BooleanField(
        db_default=True, help_text="One 429 or 503 with Retry-After: nobody calls it until then."
    )
    backing_off_until = models.DateTimeField(null=True, blank=True)
    version = models.IntegerField(db_default=1)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "targets"
        ordering = ["host"]
        constraints = [
            models.CheckConstraint(
                name="targets_max_concurrency", condition=Q(max_concurrency__range=(0, MOST_CONCURRENT))
            ),
            models.CheckConstraint(name="targets_rate", condition=rate_columns("rate")),
        ]

    def __str__(self) -> str:
        return self.host

    @property
    def is_backing_off(self) -> bool:
        """Whether nobody may call it now, by this process's clock."""
        return self.backing_off_until is not None and self.backing_off_until > timezone.now()


class Turn(models.Model):
    """Where the turns of a shared queue stand: the tenant that was served last, and how many turns in a row it has had.

    Written by passes only, and beside the row of the queue: a pass waits for nobody who changes that.
    """

    queue = models.CharField(max_length=MAX_NAME, primary_key=True)
    tenant = models.TextField()
    used = models.IntegerField()

    class Meta:
        db_table = "queue_turns"

    def __str__(self) -> str:
        return f"{self.queue}: {self.tenant}"


class SchedulerPass(models.Model):
    """One row per kind of pass; its row lock is held while a scheduler makes the pass, and dies with it."""

    name = models.CharField(max_length=32, primary_key=True)

    class Meta:
        db_table = "scheduler_pass"

    def __str__(self) -> str:
        return self.name
