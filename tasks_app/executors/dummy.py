"""DUMMY: sleeps, then succeeds or fails as asked. For tests, trials and benchmarks of everything round it."""

from __future__ import annotations

from access_app.http.openapi.schemas import COUNT, integer, obj, open_obj
from access_app.refusals import bounded
from tasks_app.executors.base import Execution, JsonObject, Outcome, PayloadError, TypeDocs
from tasks_app.states import ErrorCode

MAX_SLEEP_MS = 86_400_000
_FIELDS = frozenset({"sleepDurationMs", "shouldFail"})
_DOCS = TypeDocs(
    payload=obj(
        {
            "sleepDurationMs": integer(0, MAX_SLEEP_MS, default=0),
            "shouldFail": {"type": "boolean", "default": False},
        },
        required=[],
        description="Sleeps, then succeeds or fails as asked.",
    ),
    result=open_obj({"sleptMs": COUNT}, required=["sleptMs"], description="How long it slept."),
    summary="Try it out",
    example={"sleepDurationMs": 500},
)


class DummyExecutor:
    """Cancellable while asleep; a payload of ``{}`` succeeds at once."""

    type = "DUMMY"
    required_scope: str | None = None
    docs = _DOCS

    def validate(self, payload: JsonObject) -> None:
        unknown = payload.keys() - _FIELDS
        problems = bounded((name, "unknown field") for name in sorted(unknown)) if unknown else {}
        sleep = payload.get("sleepDurationMs", 0)
        if isinstance(sleep, bool) or not isinstance(sleep, int) or not 0 <= sleep <= MAX_SLEEP_MS:
            problems["sleepDurationMs"] = f"must be a whole number from 0 to {MAX_SLEEP_MS}"
        if not isinstance(payload.get("shouldFail", False), bool):
            problems["shouldFail"] = "must be true or false"
        if problems:
            raise PayloadError(problems)

    def execute(self, execution: Execution) -> Outcome:
        sleep_ms: int = execution.payload.get("sleepDurationMs", 0)
        if sleep_ms and (reason := execution.wait(sleep_ms / 1000)):
            return Outcome.stopped(reason, timeout=execution.timeout)
        result = {"sleptMs": sleep_ms}
        if execution.payload.get("shouldFail", False):
            return Outcome.failure(ErrorCode.TASK_FAILED, "failed because shouldFail is true", result=result)
        return Outcome.success(result)
