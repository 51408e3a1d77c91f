"""What an Idempotency-Key promises: one request, sent however often, is done once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from access_app.models import IdempotencyKey


@dataclass(frozen=True, slots=True)
class Idempotency:
    """An Idempotency-Key and the fingerprint of the request it came with."""

    key: str
    fingerprint: bytes


class IdempotencyConflict(Exception):
    """The key was used before, for a request that was not the same."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What was returned when the key was first used."""

    task_ids: list[UUID]
    response: Any


def move_idempotency_key(created_by: str, idempotency: Idempotency, task_ids: list[UUID]) -> None:
    """Let a key whose tasks were deleted stand for new ones."""
    IdempotencyKey.objects.filter(created_by=created_by, key=idempotency.key).update(
        task_ids=task_ids, answered_with=None
    )


def answer_with(
    created_by: str, idempotency: Idempotency, task_ids: list[UUID], response: Any = None, *, lives_with: UUID | None
) -> None:
    """Keep what a request is answered with whose key this transaction took, when that is known only afterwards.

    ``lives_with``: the task that was there already, when the request made none that bears its key.
    """
    IdempotencyKey.objects.filter(created_by=created_by, key=idempotency.key).update(
        task_ids=task_ids, response=response, answered_with=lives_with
    )


def keep_with(created_by: str, idempotency: Idempotency, task_id: UUID) -> None:
    """Keep a key that this transaction took as long as a task, or another row, that does not bear it."""
    IdempotencyKey.objects.filter(created_by=created_by, key=idempotency.key).update(answered_with=task_id)


def drop_idempotency_key(created_by: str, key: str) -> None:
    """Forget a key: the next request with it is a new one."""
    IdempotencyKey.objects.filter(created_by=created_by, key=key).delete()


def take_idempotency_key(
    created_by: str, idempotency: Idempotency, task_ids: list[UUID], response: Any = None
) -> Replay | None:
    """Claim a key inside the caller's transaction; return what it was used for when it is taken.

    Whoever inserts the row first wins; others wait for that transaction and then read its row. Raises
    `IdempotencyConflict` for another fingerprint.
    """
    parameters: list[Any] = [created_by, idempotency.key, idempotency.fingerprint, task_ids, json.dumps(response)]
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO idempotency_keys (created_by, key, fingerprint, task_ids, response)"
                " VALUES (%s, %s, %s, %s, %s::jsonb) ON CONFLICT (created_by, key) DO NOTHING",
                parameters,
            )
            if cursor.rowcount == 1:
                return None
        if held := IdempotencyKey.objects.filter(created_by=created_by, key=idempotency.key).first():
            break  # otherwise retention has just deleted it, with its tasks
    if bytes(held.fingerprint) != idempotency.fingerprint:
        raise IdempotencyConflict(f"the Idempotency-Key {idempotency.key!r} was used for another request")
    return Replay(held.task_ids, held.response)
