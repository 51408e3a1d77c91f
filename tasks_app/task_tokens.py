"""What a running task shows the API: which attempt it is, signed. Pure but for settings: TASK_TOKEN_KEY, or SECRET_KEY.

A token is kept nowhere. The worker makes it when an attempt starts, and whoever checks it makes the signature again, so
that one which is not ours costs no look at the database. Whether the attempt goes on is asked where something happens:
see ``attempts``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.conf import settings

from access_app.masking import MASK
from access_app.rights import Action, Caller

PREFIX: Final = "tst_"
#: Longer than any of ours.
LONGEST: Final = 160
_FORM: Final = re.compile(r"tst_([0-9a-f]{32})\.([1-9][0-9]{0,9})\.([1-9][0-9]{0,17})\.([A-Za-z0-9_-]{43})", re.ASCII)
_PURPOSE: Final = b"task_scheduler task token 1"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Fence(NamedTuple):
    """One attempt. After a failover its number may be given out again, but not at the same microsecond."""

    task_id: UUID
    attempt: int
    started_at: datetime


class AttemptOver(Exception):
    """The attempt has ended, or was taken away from its worker; another one may run."""

    def __init__(self) -> None:
        super().__init__("the attempt that this token was made for is over, and the token with it")


@dataclass(frozen=True, slots=True)
class TaskCaller(Caller):
    """A task that asks by the token of an attempt, which may be over. It may do what the table says of task tokens."""

    fence: Fence
    #: The scope that having its own task run needs. Unknown, as long as nobody has looked at the task: none.
    scope: str | None = None

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"task:{self.fence.task_id}"

    def _lacks(self, action: Action) -> str | None:
        return None if action.by_task else "A task token may not do this"

    def _may_not_run(self, task_type: str, scope: str) -> str | None:
        if scope == self.scope:
            return None
        return f"{task_type} tasks need the scope {scope}, which only tasks have that needed it themselves"


def make_token(fence: Fence) -> str:
    """The token of an attempt."""
    text = _text(fence)
    return f"{text}.{_signature(_keys()[0], text)}"


def caller_of(token: str) -> TaskCaller | None:
    """The task that shows a token; None for any other text. Keys that were replaced count while they are listed."""
    match = _FORM.fullmatch(token) if len(token) <= LONGEST else None
    if match is None:
        return None
    text, signature = token.rpartition(".")[0], match[4]
    if not any(hmac.compare_digest(_signature(key, text), signature) for key in _keys()):
        return None
    return TaskCaller(Fence(UUID(match[1]), int(match[2]), _EPOCH + int(match[3]) * _MICROSECOND))


def without(value: Any, token: str) -> Any:
    """A result with a mask wherever it says the token."""
    if isinstance(value, str):
        return value.replace(token, MASK)
    if isinstance(value, dict):
        return {without(name, token): without(item, token) for name, item in value.items()}
    return [without(item, token) for item in value] if isinstance(value, list) else value


def keys_of(text: str) -> tuple[str, ...]:
    """The keys of ``TASK_TOKEN_KEY``, between commas: behind the first those that it replaces."""
    return tuple(key.strip() for key in text.split(",")) if text else ()


def _keys() -> tuple[str, ...]:
    """The first one signs. Workers and web processes have a key in common where they have no SECRET_KEY in common."""
    if own := keys_of(getattr(settings, "TASK_TOKEN_KEY", "")):
        return own
    return tuple(map(str, (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)))


def _text(fence: Fence) -> str:
    return f"{PREFIX}{fence.task_id.hex}.{fence.attempt}.{(fence.started_at - _EPOCH) // _MICROSECOND}"


def _signature(secret_key: str, text: str) -> str:
    """With a key of its own: what signs tokens signs nothing else."""
    key = hmac.digest(secret_key.encode(), _PURPOSE, hashlib.sha256)
    return base64.urlsafe_b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).rstrip(b"=").decode()
