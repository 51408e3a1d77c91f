"""What attempts have taken from the results of other tasks: kept for reading, of the latest attempt of each task.

How a reference is written and resolved is in ``references``; when, is up to the worker (``workers_app.inputs``).
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from uuid import UUID

from django.db import models

from access_app import masking
from access_app.masking import MASK
from tasks_app.executors.base import JsonObject
from tasks_app.sessions import Session
from tasks_app.states import TaskStatus


class TaskInputs(models.Model):
    """The inputs of the latest attempt that had some: a list of objects, as `inputs_of` returns them unmasked."""

    task_id = models.UUIDField(primary_key=True)
    attempt = models.IntegerField()
    used = models.JSONField()

    class Meta:
        db_table = "task_inputs"

    def __str__(self) -> str:
        return f"inputs of attempt {self.attempt} of {self.task_id}"


class FoundResult(NamedTuple):
    """How a task stands, its latest ended attempt, and the result of that as JSON text; None for what there is not."""

    status: str
    attempt: int | None
    result: str | None


def find_result(session: Session, task_id: UUID) -> FoundResult | None:
    """The result of a task, as the API shows it; None: there is no such task. Raises `DatabaseAway`."""
    found = session.rows("find_result", {"task_id": task_id}, of=FoundResult)
    return found[0] if found else None


def keep_inputs(session: Session, task_id: UUID, attempt: int, worker_id: UUID, started_at: str, used: str) -> bool:
    """Keep what an attempt has taken, as JSON text; False when it is not this worker's any more.

    Raises `DatabaseAway`; then it may have been kept.
    """
    parameters = {
        "task_id": task_id,
        "attempt": attempt,
        "worker_id": worker_id,
        "started_at": started_at,
        "running": TaskStatus.RUNNING,
        "used": used,
    }
    return bool(session.rows("keep_inputs", parameters))


def inputs_of(task_id: UUID) -> tuple[int | None, list[JsonObject]]:
    """The attempt that has taken inputs last, and these, as they may be shown: what must be secret is masked."""
    row = TaskInputs.objects.filter(pk=task_id).first()
    return (None, []) if row is None else (row.attempt, [_masked_input(each) for each in row.used])


def _masked_input(used: JsonObject) -> JsonObject:
    """One with its value masked: a secret by the name of the field that it goes to, or of where it comes from."""
    secret = any(map(masking.names_secret, (*used["field"].split("."), *used["path"].split("/"))))
    return used | {"value": _masked(used["value"], secret=secret)}


def _masked(value: Any, *, secret: bool) -> Any:
    """As pages mask results, also inside of texts that are JSON; what is secret as a whole becomes a mask."""
    if secret:
        return None if value is None else MASK
    if isinstance(value, dict):
        return {name: _masked(item, secret=masking.names_secret(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, secret=False) for item in value]
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.dumps(_masked(json.loads(value), secret=False), ensure_ascii=False, separators=(",", ":"))
        except ValueError:
            pass
        except RecursionError:
            return MASK  # nobody has looked at what is in there
    return masking.masked(value, MASK)
