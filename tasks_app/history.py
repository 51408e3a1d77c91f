"""The table of ended attempts. Its rows are written by the statements that end an attempt."""

from __future__ import annotations

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q

from tasks_app.states import ExecutionStatus, TaskStatus


class TaskExecution(models.Model):
    """One ended attempt. Written once, in the statement that ends the attempt; only ``late`` is ever added."""

    id = models.BigAutoField(primary_key=True)
    task = models.ForeignKey("Task", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="executions")
    worker_id = models.UUIDField()
    due_at = models.DateTimeField(help_text="The run_at this attempt was started for.")
    assigned_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    attempt = models.IntegerField()
    type = models.TextField()
    status = models.TextField(choices=[(s, s) for s in ExecutionStatus])
    task_status = models.TextField(
        choices=[(s, s) for s in TaskStatus], help_text="Where the end of this attempt took the task."
    )
    duration_ms = models.GeneratedField(
        expression=models.Func(
            F("finished_at"),
            F("started_at"),
            template="(date_part('epoch', %(expressions)s) * 1000)::bigint",
            arg_joiner=" - ",
        ),
        output_field=models.BigIntegerField(),
        db_persist=True,
    )
    result = models.JSONField(null=True)
    error = models.JSONField(null=True, help_text="NULL, or an object with code and message.")
    late = models.JSONField(null=True, help_text="A result that arrived after the attempt was taken away.")

    class Meta:
        db_table = "task_executions"
        ordering = ["task_id", "attempt"]
        indexes = [
            # Metrics over the last hours: rows are appended in the order of their end, which is what BRIN is for.
            BrinIndex(fields=["finished_at"], name="executions_finished", pages_per_range=32, autosummarize=True),
        ]
        constraints = [
            models.UniqueConstraint(fields=["task", "attempt"], name="executions_attempt"),
            models.CheckConstraint(name="executions_status", condition=Q(status__in=[str(s) for s in ExecutionStatus])),
        ]

    @property
    def error_code(self) -> str | None:
        return self.error["code"] if self.error else None

    @property
    def error_message(self) -> str | None:
        return self.error["message"] if self.error else None

    def __str__(self) -> str:
        return f"attempt {self.attempt} of {self.task_id}: {self.status}"
