"""What monitoring remembers: running totals behind the counters of /metrics, what each minute was like, up to where
either was counted, and marks.

These tables are all that monitoring ever writes. A total kept by each web process would differ from the next one's
and start again with it, and Prometheus would take every scrape of another process for a restart.
"""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class MetricTotal(models.Model):
    """One counter or one bucket of a histogram; only ``sql/count_new_*.sql`` write it, and only add.

    Of slots of schedules, metrics fires and lateness, ``status`` and ``type`` hold the state; of batches, ``status``
    holds how they ended.
    """

    id = models.BigAutoField(primary_key=True)
    metric = models.TextField(help_text="attempts, duration, start_delay, late, ends, fires, lateness or batches.")
    type = models.TextField()
    status = models.TextField(help_text="Of the attempt; empty for other metrics.")
    task_status = models.TextField(help_text="Where the attempt's end took the task; empty for other metrics.")
    le = models.FloatField(help_text="The bucket's upper bound in seconds, so that other bounds may come later.")
    n = models.BigIntegerField()
    seconds = models.FloatField()

    class Meta:
        db_table = "metric_totals"
        constraints = [
            models.UniqueConstraint(fields=["metric", "type", "status", "task_status", "le"], name="metric_totals_once")
        ]

    def __str__(self) -> str:
        return f"{self.metric} {self.type} {self.status}: {self.n}"


class MetricMinute(models.Model):
    """What ended in one minute, ten or sixty (``span``), and what waited in it, of one type, one queue or the system.

    ``sql/roll_up_minutes.sql`` adds the counts of attempts, to rows of types and of queues; ``sql/sample_minute.sql``
    notes what waits, in rows of queues, and the slots, in that of the system. The 100 busiest queues of an hour have
    rows of their own, the rest is ``_other``.
    """

    pk = models.CompositePrimaryKey("span", "at", "kind", "name")
    span = models.SmallIntegerField(help_text="How many minutes; the same is counted in each of the three lengths.")
    at = models.DateTimeField(help_text="When they began.")
    kind = models.TextField(choices=[(kind, kind) for kind in ("type", "queue", "system")])
    name = models.TextField(help_text="Of the type or the queue; empty for the system.")
    success = models.IntegerField(db_default=0, help_text="Attempts that ended so; the next five are the same.")
    failed = models.IntegerField(db_default=0)
    timed_out = models.IntegerField(db_default=0)
    cancelled = models.IntegerField(db_default=0)
    lost = models.IntegerField(db_default=0)
    released = models.IntegerField(db_default=0)
    retried = models.IntegerField(db_default=0, help_text="Of those, failed or timed out and to be tried again.")
    given_up = models.IntegerField(db_default=0, help_text="Of those, the ones whose task ended as failed.")
    start_delay = models.JSONField(
        default=dict, db_default={}, help_text="Of types: bucket → attempts; see `histograms`."
    )
    duration = models.JSONField(default=dict, db_default={}, help_text="The same of how long they ran.")
    waiting = models.BigIntegerField(null=True, help_text="Of queues: the most tasks at the look each minute has.")
    oldest_due = models.FloatField(null=True, help_text="Of queues: the longest wait past its time, in seconds.")
    slots_used = models.IntegerField(null=True, help_text="Of the system: the most at those looks.")
    slots = models.IntegerField(null=True, help_text="Of the system: those of live workers, the most at those looks.")

    class Meta:
        db_table = "metric_minutes"

    def __str__(self) -> str:
        return f"{self.at:%F %R}, {self.span} min, {self.kind} {self.name}"


class MetricMark(models.Model):
    """Up to where something was counted: a row for each statement. ``seen_*`` is what the last look saw; see these."""

    name = models.CharField(max_length=32, primary_key=True)
    counted_id = models.BigIntegerField(db_default=0)
    seen_id = models.BigIntegerField(db_default=0)
    seen_xid = models.BigIntegerField(db_default=0)
    seen_at = models.DateTimeField(db_default=Now())
    late_at = models.TextField(db_default="")

    class Meta:
        db_table = "metric_marks"

    def __str__(self) -> str:
        return f"{self.name}: {self.counted_id}"


class Mark(models.Model):
    """An instant with a name, such as a deploy, for charts of what was before and after it."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())
    name = models.TextField()
    created_by = models.TextField()

    class Meta:
        db_table = "marks"
        ordering = ["-at", "-id"]
        constraints = [
            # Set once more, it is the same mark; and lists of marks, and charts, go by time.
            models.UniqueConstraint(fields=["at", "name"], name="marks_once"),
        ]

    def __str__(self) -> str:
        return self.name
