"""Task types for tests, for TASK_EXECUTORS, that document themselves."""

from __future__ import annotations

from dataclasses import replace

from tasks_app.executors.base import Execution, JsonObject, Outcome, PayloadError, TypeDocs


class ReportExecutor:
    type = "SEND_REPORT"
    required_scope: str | None = None
    docs = TypeDocs(
        payload={"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]},
        result={"type": "object", "properties": {"sent": {"type": "boolean"}}},
        summary="Send a report",
        example={"to": "ops@example.com"},
    )

    def validate(self, payload: JsonObject) -> None:
        if payload.keys() != {"to"}:
            raise PayloadError({"to": "is what it takes"})

    def execute(self, execution: Execution) -> Outcome:
        return Outcome.success({"sent": True})


class ClashingExecutor(ReportExecutor):
    """Has a name for a schema of its own that the API has given to another."""

    docs = replace(ReportExecutor.docs, parts={"Task": {"type": "object"}})
