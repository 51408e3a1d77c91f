"""Who adds to a batch: somebody in their own name, or a task, by its token, to the batch that it is in.

What a task adds is created by whoever created the task: they answer for it, and their share of a queue it is. So no
task of a type with a scope of its own is added unless the adding one has such a type: then they had that scope. It
depends on nothing but what is added with it, so that nothing else is looked at or held.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from django.db import transaction

from access_app import audit
from access_app.idempotency import Idempotency, keep_with
from access_app.rights import Caller, Refused, type_scope
from tasks_app.attempts import hold_attempt
from tasks_app.creating import Stored
from tasks_app.edges import batches_of, parents_of
from tasks_app.new_tasks import InvalidTask
from tasks_app.task_tokens import Fence, TaskCaller
from workflows_app.batches import Members, add_tasks

_OUTSIDE = "must be tasks of the same call: a task that adds by its token cannot name others"


@dataclass(frozen=True, slots=True)
class Adder:
    """``caller`` is asked what may be added. ``fence``: of a task that adds by its token."""

    caller: Caller
    created_by: str
    fence: Fence | None = None

    def require_running(self) -> None:
        """Raise `AttemptOver` when it was a task's, in the caller's transaction."""
        if self.fence is not None:
            hold_attempt(self.fence)

    def add(self, batch_id: UUID, members: Members, idempotency: Idempotency | None) -> Stored:
        """As `add_tasks`, for which the Idempotency-Key was taken in the same transaction, by the caller's name."""
        if self.fence is None:
            return add_tasks(batch_id, members, created_by=self.created_by, idempotency=idempotency)
        _refuse_others(members)
        stored = add_tasks(batch_id, replace(members, added_by=self.fence), created_by=self.created_by)
        detail = {"tasks": len(stored.ids), "attempt": self.fence.attempt}
        audit.record(self.caller.name, "batch.tasks_added", f"batch:{batch_id}", detail=detail)
        if idempotency is not None:  # kept as long as the task that sent it
            keep_with(self.caller.name, idempotency, self.fence.task_id)
        return stored


def adder_of(caller: Caller, batch_id: UUID) -> Adder:
    """Who adds to a batch. Raises `Refused` for a task that is not in it, and `AttemptOver`."""
    if not isinstance(caller, TaskCaller):
        return Adder(caller, caller.name)
    with transaction.atomic():
        task = hold_attempt(caller.fence)
    if task.batch_id != batch_id:
        raise Refused("A task token adds to the batch that its task is in, and to no other one.")
    return Adder(replace(caller, scope=type_scope(task.type)), task.created_by, caller.fence)


def _refuse_others(members: Members) -> None:
    own = set(members.ids)
    for place, new in enumerate(members.tasks):
        if batches_of(new) or not own.issuperset(parents_of(new)):
            raise InvalidTask({f"tasks.{place}.dependsOn": _OUTSIDE})
