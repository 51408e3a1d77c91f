"""Tables of recurring schedules, of their slots' ledger, and of blackout calendars.

No rules live here: what becomes of a slot is decided by ``firing_rules``, when there is one by ``recurrence``. A
schedule's row holds its definition and how far it has been decided; only ``firing`` moves that forward, in the
transaction that writes the ledger and the tasks.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from access_app.texts import MAX_NAME
from schedules_app.calendars import OnBlackout
from schedules_app.firing_rules import FireState, Misfire, Overlap
from schedules_app.recurrence import DstFold, DstGap

_ONE_RECURRENCE = (
    Q(cron__isnull=False, interval_seconds__isnull=True, rrule__isnull=True)
    | Q(cron__isnull=True, interval_seconds__isnull=False, rrule__isnull=True)
    | Q(cron__isnull=True, interval_seconds__isnull=True, rrule__isnull=False)
)


class Schedule(models.Model):
    """When tasks, or batches, are made, from which template, and what has been decided so far.

    *Slot*: an intended time. None up to and including ``last_slot`` is ever decided again. ``version`` counts what
    people change; a fire leaves it alone. Disabled or ended: no next slot.
    """

    id = models.UUIDField(primary_key=True, help_text="UUIDv7: sorts by creation time.")
    created_at = models.DateTimeField(help_text="The instant in the id.")
    updated_at = models.DateTimeField(db_default=Now())
    anchor_at = models.DateTimeField(help_text="What an interval or RRULE counts from when startAt is not given.")
    defined_at = models.DateTimeField(help_text="Since when it has the times it has.")
    start_at = models.DateTimeField(null=True, blank=True)
    end_at = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True, help_text="The latest pause. Paused: without resumed_at.")
    resumed_at = models.DateTimeField(null=True, blank=True)
    next_slot = models.DateTimeField(null=True, blank=True, help_text="The first slot not decided yet.")
    next_fire_at = models.DateTimeField(null=True, blank=True, help_text="When that one is due: with its jitter.")
    last_slot = models.DateTimeField(
        help_text="Slots up to here are decided, or not wanted: the newest decided, the creation, the last edit."
    )
    last_local = models.DateTimeField(
        help_text="Its wall clock, kept as if it were UTC: new rules of the zone must not repeat it."
    )
    last_fire_at = models.DateTimeField(null=True, blank=True, help_text="When it last made a task by itself.")
    put_offs = models.IntegerField(db_default=0, help_text="How often in a row it could not be decided.")
    put_off_reason = models.TextField(blank=True, db_default="", help_text="Why not, the last time.")
    version = models.IntegerField(db_default=1, help_text="Grows by one with every edit; the ETag.")
    interval_seconds = models.IntegerField(null=True, blank=True)
    jitter_seconds = models.IntegerField(db_default=0)
    misfire_max_runs = models.IntegerField(db_default=10)
    misfire_grace_seconds = models.IntegerField(db_default=60)
    enabled = models.BooleanField(db_default=True)
    name = models.CharField(max_length=MAX_NAME, unique=True)
    description = models.TextField(blank=True, db_default="")
    cron = models.TextField(null=True, blank=True)
    rrule = models.TextField(null=True, blank=True)
    timezone = models.TextField(db_default="UTC")
    misfire_policy = models.TextField(choices=[(p, p) for p in Misfire], db_default=Misfire.RUN_ONCE)
    overlap = models.TextField(choices=[(p, p) for p in Overlap], db_default=Overlap.SKIP)
    dst_gap = models.TextField(choices=[(p, p) for p in DstGap], db_default=DstGap.RUN_AFTER)
    dst_fold = models.TextField(choices=[(p, p) for p in DstFold], db_default=DstFold.ONCE)
    calendars = ArrayField(models.TextField(), blank=True, default=list, db_default=[])
    zone_rules = models.TextField(blank=True, db_default="", help_text="The rules under which next_slot was computed.")
    created_by = models.TextField()
    paused_by = models.TextField(blank=True, db_default="")
    pause_reason = models.TextField(blank=True, db_default="")
    idempotency_key = models.TextField(null=True, blank=True)
    task = models.JSONField(
        null=True, blank=True, help_text="The template: as for POST /tasks, without scheduleAt. NULL: it makes batches."
    )
    batch = models.JSONField(null=True, blank=True, help_text="Instead of a task: as for POST /batches.")
    callback = models.JSONField(null=True, blank=True, help_text="Of its tasks that say nothing of one.")

    class Meta:
        db_table = "schedules"
        ordering = ["name"]
        indexes = [
            # due_schedules, and the scheduler's next wake-up.
            models.Index("next_fire_at", name="schedules_due", condition=Q(next_fire_at__isnull=False)),
            # The few that could not be decided, for who counts them.
            models.Index("id", name="schedules_put_off", condition=Q(put_offs__gt=0)),
        ]
        constraints = [
            models.CheckConstraint(name="schedules_one_recurrence", condition=_ONE_RECURRENCE),
            models.CheckConstraint(
                name="schedules_one_template",
                condition=Q(task__isnull=False, batch__isnull=True) | Q(task__isnull=True, batch__isnull=False),
            ),
            models.CheckConstraint(
                name="schedules_next",
                condition=Q(next_slot__isnull=True, next_fire_at__isnull=True)
                | Q(next_slot__isnull=False, next_fire_at__isnull=False, enabled=True),
            ),
            models.CheckConstraint(
                name="schedules_pause", condition=Q(resumed_at__isnull=True) | Q(paused_at__isnull=False)
            ),
            models.CheckConstraint(
                name="schedules_ranges",
                condition=Q(
                    jitter_seconds__range=(0, 3600),
                    misfire_max_runs__range=(1, 100),
                    misfire_grace_seconds__gte=0,
                ),
            ),
            models.CheckConstraint(
                name="schedules_choices",
                condition=Q(
                    misfire_policy__in=[str(p) for p in Misfire],
                    overlap__in=[str(p) for p in Overlap],
                    dst_gap__in=[str(p) for p in DstGap],
                    dst_fold__in=[str(p) for p in DstFold],
                ),
            ),
        ]

    @property
    def paused(self) -> bool:
        return self.paused_at is not None and self.resumed_at is None

    def __str__(self) -> str:
        return self.name


class ScheduleFire(models.Model):
    """The ledger: what became of each slot, one row per slot; it outlives its schedule.

    A row with ``last_slot`` stands for all slots from ``slot`` to that one: the older part of a long outage.
    """

    id = models.BigAutoField(primary_key=True)
    schedule_id = models.UUIDField()
    slot = models.DateTimeField(help_text="The intended time.")
    last_slot = models.DateTimeField(null=True)
    due_at = models.DateTimeField(help_text="The intended time with its jitter.")
    decided_at = models.DateTimeField(db_default=TransactionNow())
    task_id = models.UUIDField(null=True)
    batch_id = models.UUIDField(null=True)
    state = models.TextField(choices=[(s, s) for s in FireState])
    note = models.TextField(blank=True, db_default="")

    class Meta:
        db_table = "schedule_fires"
        ordering = ["-slot"]
        indexes = [
            # Retention, oldest first.
            models.Index("decided_at", name="fires_decided"),
            # The few rows that stand for many slots: what was from an instant on may be in one that begins long before.
            models.Index("schedule_id", "last_slot", name="fires_runs", condition=Q(last_slot__isnull=False)),
        ]
        constraints = [
            # One decision for each slot, whoever and how many the schedulers are. Also the index of a schedule's page.
            models.UniqueConstraint(fields=["schedule_id", "slot"], name="fires_slot"),
            models.CheckConstraint(name="fires_state", condition=Q(state__in=[str(s) for s in FireState])),
            models.CheckConstraint(
                name="fires_task",
                condition=Q(task_id__isnull=True, batch_id__isnull=True)
                | (
                    (Q(task_id__isnull=True) | Q(batch_id__isnull=True))
                    & Q(state__in=[str(FireState.FIRED), str(FireState.LATE)])
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.slot:%Y-%m-%d %H:%M:%S} {self.state}"


class BlackoutCalendar(models.Model):
    """A named set of ranges in which the schedules that name it do not run; ``ranges`` as in the API."""

    name = models.CharField(max_length=MAX_NAME, primary_key=True)
    description = models.TextField(blank=True, db_default="")
    timezone = models.TextField(db_default="UTC")
    on_blackout = models.TextField(choices=[(c, c) for c in OnBlackout], db_default=OnBlackout.SKIP)
    ranges = models.JSONField()
    version = models.IntegerField(db_default=1)
    created_by = models.TextField()
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "blackout_calendars"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                name="calendars_on_blackout", condition=Q(on_blackout__in=[str(c) for c in OnBlackout])
            ),
        ]

    def __str__(self) -> str:
        return self.name
