"""What a task asks about itself by its token: the row is held, so it is answered only while the attempt runs.

For everybody else nothing of this happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import transaction

from access_app.rights import Caller, Refused
from tasks_app.attempts import hold_attempt
from tasks_app.task_tokens import Fence, TaskCaller


def fence_of(caller: Caller, task_id: UUID) -> Fence | None:
    """The attempt that acts by its token; None: it is somebody else who asks. Raises `Refused` for another task's."""
    if not isinstance(caller, TaskCaller):
        return None
    if caller.fence.task_id != task_id:
        raise Refused("A task token is for its own task and no other one.")
    return caller.fence


@contextmanager
def held_for(caller: Caller, task_id: UUID) -> Iterator[None]:
    """Hold the attempt that acts by its token. Raises `Refused` and `AttemptOver`."""
    if (fence := fence_of(caller, task_id)) is None:
        yield
        return
    with transaction.atomic():
        hold_attempt(fence)
        yield
