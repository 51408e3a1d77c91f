"""What a dry run gives away, signed: which operation may begin with it, on what, and until when.

The operation's id is in it, so that a token begins one operation, however often it is sent. It says nothing of who may
use it: whoever begins the operation is asked for their own rights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.core import signing
from django.utils.crypto import salted_hmac

from access_app.refusals import InvalidInput
from tasks_app.acts import BulkAction, Target

#: How long a token can be used.
VALID_FOR: Final = timedelta(minutes=15)
_SALT: Final = "tasks_app.tickets"


class Ask(NamedTuple):
    """What is to be done, and to which tasks: parameters of GET /tasks and their values."""

    action: BulkAction
    filter: Mapping[str, Any]
    target: Target = Target()


class Ticket(NamedTuple):
    """The operation that a dry run has prepared: how many tasks matched, and between which ids they are."""

    id: UUID
    matched: int
    after: UUID
    before: UUID


def sign(ticket: Ticket, ask: Ask) -> str:
    """The token of a dry run."""
    shown = [str(ticket.id), ticket.matched, str(ticket.after), str(ticket.before), _binding(ask)]
    return signing.dumps(shown, salt=_SALT, compress=True)


def read(token: str, ask: Ask) -> Ticket:
    """What a token is for. Raises `InvalidInput` unless it is ours, is valid yet, and belongs to just this."""
    try:
        task_id, count, after, before, binding = signing.loads(token, salt=_SALT, max_age=VALID_FOR)
    except signing.SignatureExpired:
        minutes = VALID_FOR // timedelta(minutes=1)
        raise InvalidInput({"token": f"is older than {minutes} minutes: make another dry run"}) from None
    except (signing.BadSignature, ValueError):
        raise InvalidInput({"token": "is not one of ours: a dry run gives one"}) from None
    if binding != _binding(ask):
        raise InvalidInput({"token": "belongs to another action or filter: make a dry run of this one"})
    return Ticket(UUID(task_id), count, UUID(after), UUID(before))


def _binding(ask: Ask) -> str:
    text = json.dumps([ask.action, dict(ask.filter), *ask.target], sort_keys=True)
    return salted_hmac(_SALT, text, algorithm="sha256").hexdigest()[:32]
