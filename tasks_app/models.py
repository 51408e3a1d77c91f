"""Tables of tasks and their history: fields, CHECKs and indexes with their reasons.

No rules live here: what may change is said by ``states``, and every change of a status is a guarded statement in
``sql/``. Nothing points at a worker with a foreign key, because workers are pruned while history stays, and executions
point at tasks without a database constraint, because the check cost more than the insert it guarded; retention deletes
both in one statement and ``doctor`` looks for orphans.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, Self
from uuid import UUID

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from tasks_app import failures as failures  # Django finds tables here
from tasks_app.edges import TaskEdge as TaskEdge
from tasks_app.edges import TaskJoin as TaskJoin
from tasks_app.history import TaskExecution as TaskExecution
from tasks_app.needs import TaskNeeds as TaskNeeds
from tasks_app.operations import BulkOperation as BulkOperation
from tasks_app.progress import TaskProgress as TaskProgress
from tasks_app.states import UNSUCCESSFUL, Gate, OnWorkerLost, TaskStatus
from tasks_app.task_output import TaskOutput as TaskOutput
from tasks_app.used_inputs import TaskInputs as TaskInputs

WAITING_ROW = Q(worker_id__isnull=True, finished_at__isnull=True)
OWNED_ROW = Q(worker_id__isnull=False, finished_at__isnull=True)
OPEN_ROW = Q(finished_at__isnull=True)
FROZEN_ROW = Q(models.lookups.Exact(F("gate") - int(Gate.FREEZE), 0)) & OPEN_ROW
SLOTTED = Q(concurrency_key__isnull=True) | ~OWNED_ROW | Q(key_slot__isnull=False)  # NULLs are never equal
#: Every waiting row, in parts that each have the predicate of one partial index: tasks_due, tasks_labelled,
#: tasks_suspects, tasks_key_waiting and tasks_gated. None of them serves `WAITING_ROW` alone, which reads all rows.
WAITING_PARTS: Final = (
    WAITING_ROW & Q(gate=Gate.OPEN, crash_count=0, needs_id__isnull=True),
    WAITING_ROW & Q(gate=Gate.OPEN, crash_count=0, needs_id__isnull=False),
    WAITING_ROW & Q(gate=Gate.OPEN, crash_count__gt=0),
    WAITING_ROW & Q(gate=Gate.KEY, concurrency_key__isnull=False),
    WAITING_ROW & Q(gate__gt=Gate.KEY),
)
RETRYING_ROW = WAITING_ROW & Q(retry_count__gt=0)
ENDED_ROW = Q(finished_at__isnull=False)
SCHEDULED_ROW = Q(schedule_id__isnull=False)
APPROVAL_ROW = Q(approval_asked_at__isnull=False) & OPEN_ROW
BATCHED_ROW = Q(batch_id__isnull=False)
UNSUCCESSFUL_ROW = Q(unsuccessful=True)
NEEDY_ROW = Q(required_labels__isnull=False) | Q(slots__gt=1)
UNIQUE_ROW = Q(unique_key__isnull=False) & OPEN_ROW
#: A task whose caller sent none bears its own id, which is not stored again: it is found by the primary key.
SENT_CORRELATION = Q(correlation_id__isnull=False)


def in_batch(batch_id: UUID) -> Q:
    """The rows of a batch, in two parts that each have an index."""
    return Q(OPEN_ROW, batch_id=batch_id) | Q(ENDED_ROW, batch_id=batch_id)


def own_correlation_id(task_id: UUID) -> str:
    """The correlation id of a task whose caller sent none."""
    return task_id.hex


class Task(models.Model):
    """A task's definition and current state. Kept narrow: results and errors live on its executions.

    No index holds ``status`` or asks for it: they have predicates on ``worker_id`` and ``finished_at``, so that
    SCHEDULED → RUNNING touches no index (a HOT update). Fixed-width columns come first, because PostgreSQL pads each to
    its alignment.
    """

    id = models.UUIDField(primary_key=True, help_text="UUIDv7: sorts by creation time.")
    created_at = models.DateTimeField(help_text="The instant in the id.")
    updated_at = models.DateTimeField(db_default=Now())
    schedule_at = models.DateTimeField(help_text="When the task was asked to run.")
    run_at = models.DateTimeField(help_text="When it is due next: scheduleAt, or the end of a backoff.")
    expires_at = models.DateTimeField(null=True, blank=True)
    assigned_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    approval_asked_at = models.DateTimeField(null=True, blank=True, help_text="Since when its approval is waited for.")
    approval_ends_at = models.DateTimeField(null=True, blank=True, help_text="Until when; NULL: without an end.")
    worker_id = models.UUIDField(null=True, blank=True)
    batch_id = models.UUIDField(null=True, blank=True, help_text="The batch it belongs to.")
    version = models.IntegerField(db_default=1, help_text="Grows by one with every change; the ETag.")
    attempt = models.IntegerField(db_default=0, help_text="The fence: grows with every start, never goes back.")
    max_retries = models.IntegerField()
    retry_count = models.IntegerField(db_default=0, help_text="Retries granted after failures.")
    crash_count = models.IntegerField(db_default=0, help_text="Attempts lost with their worker.")
    timeout_ms = models.IntegerField()
    priority = models.SmallIntegerField(db_default=0)
    gate = models.SmallIntegerField(
        choices=[(gate, gate.name) for gate in Gate],
        db_default=Gate.OPEN,
        help_text="What it waits for besides time and a worker; out of the due index until the gate is open.",
    )
    slots = models.SmallIntegerField(db_default=1, help_text="How many slots of its worker it takes.")
    key_slot = models.SmallIntegerField(null=True, blank=True, help_text="The slot of its key that it has, or had.")
    limited = models.BooleanField(
        db_default=False,
        help_text="Counts against the limit of its queue or target, which had one when it was assigned.",
    )
    # Not generated from the status, though starts stay HOT: measured side by side on PostgreSQL 18, computing it made
    # each change of a status dearer, a start from 10.2 to 10.8 µs of the server's CPU and a finish from 17.6 to 18.6.
    unsuccessful = models.BooleanField(
        db_default=False,
        help_text="FAILED or CANCELLED, for an index: with status in it, every start would write to all indexes.",
    )
    has_dependents = models.BooleanField(
        db_default=False, help_text="Others wait for its end, or did: somebody has to look when it has ended."
    )
    notifies = models.BooleanField(
        db_default=False, help_text="Its end is yet to be told to callbacks; then it is marked as having dependents."
    )
    task_token = models.BooleanField(db_default=False, help_text="Each of its attempts gets a token.")
    needs_id = models.IntegerField(
        null=True, blank=True, help_text="What it needs of its worker, a row of task_needs; NULL: nothing."
    )
    type = models.TextField()
    status = models.TextField(choices=[(s, s) for s in TaskStatus], db_default=TaskStatus.PENDING)
    queue = models.TextField(db_default="default")
    on_worker_lost = models.TextField(choices=[(s, s) for s in OnWorkerLost], db_default=OnWorkerLost.RETRY)
    correlation_id = models.TextField(null=True, blank=True, help_text="NULL: none was sent. Then it is the id.")
    created_by = models.TextField()
    concurrency_key = models.TextField(null=True, blank=True)
    unique_key = models.TextField(null=True, blank=True)
    target = models.TextField(null=True, blank=True, help_text="The host it calls, as its payload names it.")
    fair_key = models.TextField(null=True, blank=True)
    tenant = models.TextField(null=True, blank=True, help_text="Whose share of its queue it draws on, if sorted in.")
    idempotency_key = models.TextField(null=True, blank=True)
    end_reason = models.TextField(
        null=True,
        blank=True,
        help_text="Error code of an end that no attempt's own outcome explains: EXPIRED, QUARANTINED, WORKER_LOST.",
    )
    retry = models.JSONField(null=True, blank=True)
    required_labels = models.JSONField(null=True, blank=True)
    callback = models.JSONField(null=True, blank=True, help_text="Who is told of its end, besides endpoints.")
    approval = models.JSONField(null=True, blank=True, help_text="Who must approve it before it runs.")
    payload = models.JSONField(db_default=models.Value({}, models.JSONField()))
    schedule_id = models.UUIDField(null=True, blank=True, help_text="The recurring schedule that made it.")
    scheduled_for = models.DateTimeField(null=True, blank=True, help_text="The slot it was made for, however late.")

    class Meta:
        db_table = "tasks"
        ordering = ["-id"]
        indexes = [
            # lock_candidates: heads of each (queue, priority), in the order they are started.
            models.Index(
                *(F("queue"), F("priority").desc(), F("run_at"), F("id")),
                name="tasks_due",
                condition=WAITING_ROW & Q(gate=Gate.OPEN, crash_count=0, needs_id__isnull=True),
            ),
            # lock_labelled: the same of tasks that need something of their worker, by what they need, so that those
            # nobody can run are not met by a pass over others.
            models.Index(
                *(F("needs_id"), F("queue"), F("priority").desc(), F("run_at"), F("id")),
                name="tasks_labelled",
                condition=Q(needs_id__isnull=False) & WAITING_ROW & Q(gate=Gate.OPEN, crash_count=0),
            ),
            # delete_unused_needs: whether any task has them. By what they are made of, so that no look at what waits
            # takes it.
            models.Index(F("needs_id"), name="tasks_needs", condition=NEEDY_ROW),
            # lock_suspects: tasks that have lost a worker, handed out one to a worker.
            models.Index(
                F("priority").desc(),
                F("run_at"),
                F("id"),
                name="tasks_suspects",
                condition=WAITING_ROW & Q(gate=Gate.OPEN, crash_count__gt=0),
            ),
            # start_assigned, heartbeats, recovery: what a worker holds, oldest assignment first.
            models.Index("worker_id", "assigned_at", name="tasks_owned", condition=OWNED_ROW),
            # count_room: what is assigned or running of queues and of targets with a limit; empty while none has.
            models.Index("queue", name="tasks_limited", condition=Q(limited=True) & OWNED_ROW),
            models.Index(
                "target", name="tasks_limited_target", condition=Q(limited=True, target__isnull=False) & OWNED_ROW
            ),
            # look_at_keys and the release trigger: the next task of a concurrency key.
            models.Index(
                F("queue"),
                F("concurrency_key"),
                F("priority").desc(),
                F("run_at"),
                F("id"),
                name="tasks_key_waiting",
                condition=WAITING_ROW & Q(concurrency_key__isnull=False),
            ),
            # Whoever opens a gate, and counts of what waits behind one; empty while none is closed.
            models.Index(
                *(F("queue"), F("gate"), F("priority").desc(), F("run_at"), F("id")),
                name="tasks_gated",
                condition=Q(gate__gt=Gate.KEY) & WAITING_ROW,
            ),
            # open_targets: what waits for the rules of a target.
            models.Index(
                *(F("target"), F("priority").desc(), F("run_at"), F("id")),
                name="tasks_gated_target",
                condition=Q(gate=Gate.TARGET) & WAITING_ROW,
            ),
            # look_at_sharers, lock_turns: what waits for the turns of tenants; empty while no queue is shared.
            models.Index(
                *(F("queue"), F("tenant"), F("priority").desc(), F("run_at"), F("id")),
                name="tasks_turns",
                condition=Q(tenant__isnull=False) & WAITING_ROW & Q(gate=Gate.TURN),
            ),
            # release_frozen: what waits for a thaw. Its condition is written so that tasks_gated cannot serve it.
            models.Index(F("priority") * -1, "run_at", "id", name="tasks_frozen", condition=FROZEN_ROW),
            # time_out_approvals, and lists of what waits for an approval; empty while nothing does.
            # By no gate: what tasks_gated is about, the planner might walk over, all that waits for anything.
            models.Index("approval_ends_at", name="tasks_approval", condition=APPROVAL_ROW),
            # expire_tasks, and the scheduler's next wake-up.
            models.Index(
                "expires_at", name="tasks_expiring", condition=Q(expires_at__isnull=False, finished_at__isnull=True)
            ),
            # Retention, and throughput by time of end.
            models.Index("finished_at", name="tasks_ended", condition=ENDED_ROW),
            # settle_edges: ended tasks whose dependents do not know of it; empty but for a moment.
            models.Index("finished_at", name="tasks_ended_parents", condition=Q(has_dependents=True) & ENDED_ROW),
            # Lists of FAILED and CANCELLED tasks, newest first. Successes are what the primary key is full of.
            models.Index("id", name="tasks_unsuccessful", condition=UNSUCCESSFUL_ROW),
            # Lists of what waits for another attempt, among whatever else waits.
            models.Index(F("id"), name="tasks_retrying", condition=RETRYING_ROW),
            # Lists by correlation id. Active rows are few and read through the indexes above.
            models.Index(
                "correlation_id", "id", name="tasks_ended_correlation", condition=ENDED_ROW & SENT_CORRELATION
            ),
            # The firing pass: which tasks of a schedule are still open, for its overlap policy.
            models.Index("schedule_id", name="tasks_schedule_open", condition=OPEN_ROW & SCHEDULED_ROW),
            # Lists of a schedule's tasks, newest first.
            models.Index("schedule_id", "id", name="tasks_schedule", condition=SCHEDULED_ROW),
            # look_at_batches: the youngest open task of a batch. By a time that no other index is in the order of, so
            # that no planner walks over all tasks there are to find it.
            models.Index("batch_id", "created_at", name="tasks_batch_open", condition=BATCHED_ROW & OPEN_ROW),
            # How a batch has ended, its counts, its list.
            models.Index("batch_id", "unsuccessful", name="tasks_batch_ended", condition=BATCHED_ROW & ENDED_ROW),
        ]
        constraints = [
            # At most one assigned or running task per slot of a (queue, key), kept by the database itself.
            models.UniqueConstraint(
                fields=["queue", "concurrency_key", "key_slot"],
                name="tasks_key_held",
                condition=OWNED_ROW & Q(concurrency_key__isnull=False),
            ),
            # At most one open task per (queue, unique key). What has none is not in it.
            models.UniqueConstraint(fields=["queue", "unique_key"], name="tasks_unique_open", condition=UNIQUE_ROW),
            models.CheckConstraint(
                name="tasks_state",
                condition=(
                    Q(
                        status=TaskStatus.PENDING,
                        worker_id__isnull=True,
                        finished_at__isnull=True,
                        unsuccessful=False,
                    )
                    | Q(
                        status__in=[TaskStatus.SCHEDULED, TaskStatus.RUNNING],
                        worker_id__isnull=False,
                        finished_at__isnull=True,
                        unsuccessful=False,
                    )
                    | Q(status=TaskStatus.SUCCESS, finished_at__isnull=False, unsuccessful=False)
                    | Q(status__in=sorted(UNSUCCESSFUL), finished_at__isnull=False, unsuccessful=True)
                ),
            ),
            models.CheckConstraint(name="tasks_key_slot", condition=SLOTTED),
            models.CheckConstraint(
                name="tasks_ranges",
                condition=Q(
                    priority__range=(-100, 100),
                    slots__range=(1, 1000),
                    gate__range=(min(Gate), max(Gate)),
                    timeout_ms__range=(1, 86_400_000),
                    max_retries__range=(0, 1000),
                    **dict.fromkeys(("retry_count__gte", "crash_count__gte", "attempt__gte"), 0),
                ),
            ),
            models.CheckConstraint(
                name="tasks_on_worker_lost", condition=Q(on_worker_lost__in=[str(s) for s in OnWorkerLost])
            ),
        ]

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **options: Any) -> Self:
        """A row as it is read: with the correlation id that every reader is shown."""
        task = super().from_db(db, field_names, values, **options)
        if task.__dict__.get("correlation_id", "") is None:  # absent where it is deferred
            task.correlation_id = own_correlation_id(task.id)
        return task

    def __str__(self) -> str:
        return f"{self.type} {self.id}"
