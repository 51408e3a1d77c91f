"""What a worker does with a delivery besides calling: it signs each attempt, with the secrets its endpoint has then.

So no secret is in a task, and a rotation holds for what is tried again. A task is a delivery when there is such a row:
the header in its payload only says that it is worth a look. What is signed is the body of the event and nothing else,
and it goes to nobody but the endpoint, whatever was edited in the task.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple
from uuid import UUID

from tasks_app.executors.base import Execution, Outcome
from tasks_app.sessions import Session
from tasks_app.starting import Attempt
from tasks_app.states import ErrorCode
from workflows_app.callbacks.delivering import ID_HEADER
from workflows_app.callbacks.secrets import signature

_MAY_BE: Final = f'"{ID_HEADER}"'
_GONE: Final = 410
_FIND: Final = (
    "SELECT d.id, d.webhook_id, d.digest, d.endpoint_id, e.url, e.disabled, e.secret,"
    " CASE WHEN e.previous_until > now() THEN e.previous_secret END"
    " FROM deliveries d LEFT JOIN webhook_endpoints e ON e.id = d.endpoint_id WHERE d.id = ANY(%s)"
)


class Found(NamedTuple):
    """A delivery with its endpoint as it is now; without a url that is gone."""

    id: UUID
    webhook_id: str
    digest: bytes
    endpoint_id: UUID | None
    url: str | None
    disabled: str | None
    secret: bytes | None
    previous_secret: bytes | None

    @property
    def keys(self) -> list[bytes]:
        """The newest first."""
        return [key for key in (self.secret, self.previous_secret) if key is not None]


@dataclass(frozen=True, slots=True)
class Sealed:
    """How the attempt of a delivery is run."""

    found: Found

    def run(self, execution: Execution, run: Callable[[Execution], Outcome]) -> Outcome:
        """Run it with its signature. Every answer but 2xx is a failure to be mended, 410 alone is an answer."""
        if refusal := self._refusal(execution.payload.get("body")):
            return refusal
        execution.payload = self._signed(execution.payload, int(time.time()))
        outcome = run(execution)
        if outcome.error_code is not ErrorCode.HTTP_STATUS:
            return outcome
        return replace(outcome, retryable=(outcome.result or {}).get("statusCode") != _GONE)

    def _refusal(self, body: Any) -> Outcome | None:
        found = self.found
        if not isinstance(body, str) or not hmac.compare_digest(hashlib.sha256(body.encode()).digest(), found.digest):
            return _refused("its body is not that of the event: somebody has changed it")
        if found.endpoint_id is None:
            return None
        if found.url is None:
            return _refused("its endpoint was deleted")
        if found.disabled is not None:
            return _refused("its endpoint is disabled")
        return None

    def _signed(self, payload: Mapping[str, Any], timestamp: int) -> dict[str, Any]:
        found, body = self.found, payload["body"]
        headers = {ID_HEADER: found.webhook_id, "webhook-timestamp": str(timestamp), "content-type": "application/json"}
        if keys := found.keys:
            headers["webhook-signature"] = signature(keys, found.webhook_id, timestamp, body.encode())
        return {"url": found.url or payload["url"], "method": "POST", "headers": headers, "body": body}


def seal(session: Session, attempts: Iterable[Attempt]) -> dict[UUID, Sealed]:
    """Those of started attempts that are deliveries, to be signed. Raises `DatabaseAway`.

    Without any it asks nobody: nearly all batches have none.
    """
    ids = [attempt.task_id for attempt in attempts if attempt.type == "HTTP" and _MAY_BE in attempt.payload]
    return {row[0]: Sealed(Found._make(row)) for row in session.fetch(_FIND, [ids])} if ids else {}


def _refused(text: str) -> Outcome:
    return Outcome.failure(ErrorCode.TASK_FAILED, text, retryable=False)
