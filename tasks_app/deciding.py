"""What those may ask for whose approval a task waits for: approve it, reject it. One transaction each."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction

from access_app.rights import Caller
from access_app.versions import Versions
from tasks_app import transitions, wakeups
from tasks_app.approving import require_approver
from tasks_app.models import Task


def approve_task(task_id: UUID, *, caller: Caller, reason: str = "", versions: Versions = None) -> Task:
    """Let a task run that waits for an approval. See `transitions.approve`; raises `Refused` for who may not."""
    with transaction.atomic():
        transaction.on_commit(wakeups.notify_schedulers)
        return transitions.approve(task_id, **_decision(caller, reason, versions))


def reject_task(task_id: UUID, *, caller: Caller, reason: str = "", versions: Versions = None) -> Task:
    """End a task that waits for an approval. See `transitions.reject`; raises `Refused` for who may not."""
    with transaction.atomic():
        transaction.on_commit(wakeups.notify_schedulers)
        return transitions.reject(task_id, **_decision(caller, reason, versions))


def _decision(caller: Caller, reason: str, versions: Versions) -> dict[str, Any]:
    allow = partial(require_approver, caller)
    return {"actor": caller.name, "allow": allow, "reason": reason, "versions": versions}
