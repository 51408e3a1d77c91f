"""What somebody asks for when they create a task, and the checks every way in shares (API, admin, Python code).

Pure but for the executor registry. Field names in problems are those of the JSON API.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from access_app.refusals import InvalidInput, bounded
from access_app.texts import CORRELATION_ID, JSON_NUL
from tasks_app.executors.base import JsonObject, PayloadError
from tasks_app.executors.registry import executor_for, executors
from tasks_app.retries import Backoff
from tasks_app.states import OnWorkerLost

MAX_PAYLOAD_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 32
MAX_TIMEOUT_MS: Final = 86_400_000
MAX_RETRIES: Final = 1000
MAX_DELAY_MS: Final = 2_592_000_000
DEFAULT_TIMEOUT_MS: Final = 300_000
QUEUE_NAME: Final = re.compile(r"[A-Za-z0-9._:-]{1,100}", re.ASCII)
EXPIRES_TOO_EARLY: Final = "must lie after scheduleAt: the task would expire before it is due"
_RETRY_FIELDS: Final = frozenset({"backoff", "baseDelayMs", "maxDelayMs", "jitter"})


class InvalidTask(InvalidInput):
    """A task that cannot be created. ``problems`` maps a JSON field path to one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task to create. ``None`` means: the default of this installation (or now, for ``schedule_at``)."""

    type: str
    payload: JsonObject = field(default_factory=dict)
    schedule_at: datetime | None = None
    max_retries: int | None = None
    queue: str = "default"
    priority: int = 0
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    expires_at: datetime | None = None
    correlation_id: str | None = None
    concurrency_key: str | None = None
    retry: JsonObject | None = None
    on_worker_lost: str = OnWorkerLost.RETRY


def check_task(new: NewTask) -> str:
    """Check a task and answer its payload as JSON text, dumped once. Raises `InvalidTask` naming every bad field."""
    problems: dict[str, str] = {}
    text = check_payload(new.type, new.payload, problems)
    problems |= field_problems(new)
    if problems:
        raise InvalidTask(problems)
    return text


def field_problems(new: NewTask) -> dict[str, str]:
    """What is wrong with the fields other than type and payload."""
    problems: dict[str, str] = {}
    if not -100 <= new.priority <= 100:
        problems["priority"] = "must be a whole number from -100 to 100"
    if not QUEUE_NAME.fullmatch(new.queue):
        problems["queue"] = "must be 1 to 100 characters of A-Z a-z 0-9 . _ : -"
    if not 1 <= new.timeout_ms <= MAX_TIMEOUT_MS:
        problems["timeoutMs"] = f"must be a whole number from 1 to {MAX_TIMEOUT_MS}"
    if new.max_retries is not None and not 0 <= new.max_retries <= MAX_RETRIES:
        problems["maxRetries"] = f"must be a whole number from 0 to {MAX_RETRIES}"
    if new.on_worker_lost not in (OnWorkerLost.RETRY, OnWorkerLost.FAIL):
        problems["onWorkerLost"] = "must be retry or fail"
    if new.correlation_id is not None and not CORRELATION_ID.fullmatch(new.correlation_id):
        problems["correlationId"] = "must be 1 to 128 characters of A-Z a-z 0-9 . _ -"
    if new.concurrency_key is not None and not _is_clean_text(new.concurrency_key, 200):
        problems["concurrencyKey"] = "must be 1 to 200 characters that can be seen, or spaces"
    if new.retry is not None:
        problems |= _retry_problems(new.retry)
    for name, instant in (("scheduleAt", new.schedule_at), ("expiresAt", new.expires_at)):
        if instant is not None and instant.tzinfo is None:
            problems[name] = "must have a time zone"
    return problems | _order_problems(new, problems)


def _order_problems(new: NewTask, problems: dict[str, str]) -> dict[str, str]:
    """Both times as they were asked for: without a clock, the same request is taken or refused whenever it comes."""
    if new.schedule_at is None or new.expires_at is None or problems.keys() & {"scheduleAt", "expiresAt"}:
        return {}
    return {"expiresAt": EXPIRES_TOO_EARLY} if new.expires_at <= new.schedule_at else {}


def check_payload(task_type: str, payload: Any, problems: dict[str, str]) -> str:
    """Check type and payload, add what is wrong to ``problems``, and answer the payload as JSON text."""
    executor = executor_for(task_type)
    if executor is None:
        problems["type"] = f"must be one of {', '.join(sorted(executors()))}"
        return "{}"
    if not isinstance(payload, dict):
        problems["payload"] = "must be an object"
        return "{}"
    try:
        text = json_text(payload) if payload else "{}"
        if len(text) > MAX_PAYLOAD_BYTES // 4 and len(text.encode()) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"must not be larger than {MAX_PAYLOAD_BYTES} bytes of JSON")  # noqa: TRY301
    except ValueError as error:
        problems["payload"] = str(error)
        return "{}"
    try:
        executor.validate(payload)
    except PayloadError as error:
        problems.update({f"payload.{name}": text for name, text in error.problems.items()})
    return text


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def json_text(value: Any) -> str:
    """A JSON value as text that PostgreSQL's jsonb, and every reader after it, takes. Raises ValueError: why not."""
    try:
        text = _encode(value)
        text.encode()
    except RecursionError:
        raise ValueError(f"must not be nested deeper than {MAX_DEPTH} levels") from None
    except UnicodeEncodeError:
        raise ValueError("must not contain lone surrogates") from None
    except (TypeError, ValueError):
        raise ValueError("must be JSON: no NaN, no infinity") from None
    if "\\u0000" in text and JSON_NUL.search(text):
        raise ValueError("must not contain NUL characters")
    if text.count("{") + text.count("[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise ValueError(f"must not be nested deeper than {MAX_DEPTH} levels")
    return text


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level := [item for item in level if isinstance(item, (dict, list))]:
        depth += 1
        if depth > MAX_DEPTH:
            break
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return depth


def _is_clean_text(text: str, longest: int) -> bool:
    """For keys, which are compared: two that look alike should be alike, so nothing invisible stands in one."""
    return 0 < len(text) <= longest and text.isprintable()


def _retry_problems(retry: JsonObject) -> dict[str, str]:
    unknown = bounded((name, "unknown field") for name in sorted(retry.keys() - _RETRY_FIELDS))
    problems = {f"retry.{name}": text for name, text in unknown.items()}
    if "backoff" in retry and retry["backoff"] not in list(Backoff):
        problems["retry.backoff"] = f"must be one of {', '.join(Backoff)}"
    for name in ("baseDelayMs", "maxDelayMs"):
        value = retry.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_DELAY_MS:
            problems[f"retry.{name}"] = f"must be a whole number from 0 to {MAX_DELAY_MS}"
    if not isinstance(retry.get("jitter", True), bool):
        problems["retry.jitter"] = "must be true or false"
    return problems
