"""What a task says about who must approve it before it runs: its ``approval``, read from JSON. Pure.

Who may is looked at when they do (``approving``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from access_app.http.fields import flag, json_object
from access_app.refusals import InvalidInput, bounded
from access_app.rights.approvers import problem_of_approvers
from access_app.texts import problem_of_reason
from tasks_app.kinds import document, whole

#: Thirty days.
MAX_APPROVAL_SECONDS: Final = 30 * 86_400
#: What forms and the OpenAPI document say of it.
CONSENT: Final = 'Runs once somebody has approved it, as {"of": "group:NAME"} or {"of": "scope:NAME"}.'
_seconds: Final = whole(1, MAX_APPROVAL_SECONDS).read


class OnTimeout(StrEnum):
    """What becomes of a task that nobody has approved in time."""

    CANCEL = "cancel"
    FAIL = "fail"
    RUN = "run"


def read_approval(value: Any) -> Any:
    """An approval as it came. Raises ValueError, or `InvalidInput` that names what is wrong."""
    approval = json_object(value)
    problems = bounded((name, "unknown field") for name in sorted(approval.keys() - _FIELDS.keys()))
    for name, read in _FIELDS.items():
        try:
            if name in approval:
                read(approval[name])
        except ValueError as error:
            problems[name] = str(error)
    if "of" not in approval:
        problems["of"] = "is required: group:NAME or scope:NAME"
    if "onTimeout" in approval and "timeoutSeconds" not in approval:
        problems.setdefault("onTimeout", "means nothing without timeoutSeconds")
    if problems:
        raise InvalidInput(problems)
    return approval


def time_of(approval: Mapping[str, Any]) -> timedelta | None:
    """How long it is waited for; None: without an end."""
    seconds = approval.get("timeoutSeconds")
    return None if seconds is None else timedelta(seconds=seconds)


def _approvers(value: Any) -> None:
    if problem := problem_of_approvers(value):
        raise ValueError(problem)


def _on_timeout(value: Any) -> None:
    if value not in list(OnTimeout):
        raise ValueError(f"must be {' or '.join(OnTimeout)}")


def _note(value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004 - as every reader
    if problem := problem_of_reason(value):
        raise ValueError(problem)


_FIELDS: Final = {
    "of": _approvers,
    "timeoutSeconds": _seconds,
    "onTimeout": _on_timeout,
    "note": _note,
    "allowRequester": flag,
}
APPROVAL: Final = document("Approval", read_approval)
