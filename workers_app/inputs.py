"""What an attempt takes from the results of other tasks, at its start: read, put into its payload, kept for reading.

Pool threads call `Inputs.take`. An attempt whose payload has no reference costs a search for a word in a text; those
that have one share a connection, which is opened with the first of them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import structlog

from access_app.database_faults import DatabaseAway, backoff
from tasks_app.executors.base import Execution, JsonObject, Outcome, PayloadError, StopReason
from tasks_app.executors.registry import executor_for, inputs_of
from tasks_app.new_tasks import MAX_PAYLOAD_BYTES, json_text
from tasks_app.pointers import Document, Nothing
from tasks_app.references import MARK, Origin, Place, Reference, filled, valued
from tasks_app.sessions import Session
from tasks_app.starting import Attempt
from tasks_app.states import ErrorCode
from tasks_app.used_inputs import FoundResult, find_result, keep_inputs

log = structlog.get_logger(__name__)

#: Problems that the message of a failure names.
_MOST_NAMED: Final = 5


class InputProblem(Exception):
    """Something cannot be taken, or what was taken not be used. No retry mends it: ended tasks keep their results."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class Inputs:
    """Of one worker; thread-safe."""

    def __init__(self, session: Session, worker_id: UUID) -> None:
        self._session = session
        self._worker_id = worker_id
        self._lock = threading.Lock()

    def take(self, attempt: Attempt, execution: Execution) -> Outcome | None:
        """Put what results say into the payload; return how the attempt ends when that cannot be. Never raises.

        A database that is away is asked again until the work is asked to stop. An attempt that was taken away meanwhile
        is stopped, too.
        """
        if MARK not in attempt.payload:
            return None
        failures = 0
        while execution.stop_reason is None:
            try:
                return self._take(attempt, execution)
            except DatabaseAway:
                failures += 1
                execution.wait(backoff(failures))
            except InputProblem as problem:
                return Outcome.failure(problem.code, str(problem), retryable=False)
            except Exception as error:
                log.exception("inputs_not_taken", task_id=str(attempt.task_id), attempt=attempt.attempt)
                text = f"what it takes from results could not be read: {type(error).__name__}: {error}"
                return Outcome.failure(ErrorCode.INTERNAL, text, retryable=True)
        return None

    def _take(self, attempt: Attempt, execution: Execution) -> Outcome | None:
        references, _ = inputs_of(attempt.type, execution.payload)
        if not references:
            return None
        taken = Taken(execution.payload)
        for task_id in dict.fromkeys(UUID(each.task) for each in references):
            with self._lock:
                found = find_result(self._session, task_id)
            taken.add(task_id, found, [each for each in references if UUID(each.task) == task_id])
        payload = taken.payload(attempt.type)
        used = json.dumps(taken.used, ensure_ascii=False)
        with self._lock:
            fence = (attempt.task_id, attempt.attempt, self._worker_id, attempt.started_at)
            kept = keep_inputs(self._session, *fence, used)
        if not kept:
            execution.stop(StopReason.RELEASE, immediate=True)
        elif taken.problems:
            raise summed_up(taken.problems)
        else:
            execution.payload = payload
        return None


class Taken:
    """What has been taken so far for one attempt. Pure."""

    def __init__(self, payload: JsonObject) -> None:
        self.used: list[JsonObject] = []
        self.problems: list[InputProblem] = []
        self._payload = payload
        self._values: dict[Place, Any] = {}
        self._size = 0

    def add(self, task_id: UUID, found: FoundResult | None, references: Sequence[Reference]) -> None:
        """Take what references to one task lead to."""
        document = Document(json.loads(found.result)) if found and found.result is not None else None
        for each in references:
            try:
                origin, value = _looked_up(each, document, task_id, found)
                value = self._fitting(each, value)
            except InputProblem as problem:
                missing = problem.code is ErrorCode.INPUT_MISSING
                origin, value = Origin.MISSING if missing else Origin.UNUSABLE, None
                self.problems.append(problem)
            self._values[each.place] = value
            where = {"field": each.field, "taskId": str(task_id), "attempt": found and found.attempt, "path": each.path}
            self.used.append(where | {"origin": origin, "value": value})

    def payload(self, task_type: str) -> JsonObject:
        """The payload with what was taken in it; problems when its type does not take it so."""
        payload: JsonObject = filled(self._payload, self._values)
        if self.problems:
            return payload
        try:
            size = len(json_text(payload).encode())
            executor = executor_for(task_type)
            if size > MAX_PAYLOAD_BYTES:
                self.problems.append(_too_large("payload"))
            elif executor is not None:
                executor.validate(payload)
        except PayloadError as error:
            self.problems += [_invalid(f"payload.{name}", text) for name, text in error.problems.items()]
        except ValueError as error:
            self.problems.append(_invalid("payload", str(error)))
        return payload

    def _fitting(self, reference: Reference, value: Any) -> Any:
        """A value as its place takes it. Raises `InputProblem`."""
        try:
            value = valued(value, reference.kind)
            if self._size <= MAX_PAYLOAD_BYTES:  # else it costs nothing any more
                self._size += len(json_text(value))
        except ValueError as error:
            raise _invalid(reference.field, str(error)) from None
        if self._size > MAX_PAYLOAD_BYTES:
            raise _too_large(reference.field)
        return value


def summed_up(problems: Sequence[InputProblem]) -> InputProblem:
    """One for several: the code of the first."""
    text = "; ".join(map(str, problems[:_MOST_NAMED]))
    more = len(problems) - _MOST_NAMED
    return InputProblem(problems[0].code, f"{text}; and {more} more" if more > 0 else text)


def _looked_up(
    reference: Reference, document: Document | None, task_id: UUID, found: FoundResult | None
) -> tuple[Origin, Any]:
    """Where the value of a reference comes from, and what it is. Raises `InputProblem`."""
    try:
        return Origin.RESULT, _value_at(reference, document, task_id, found)
    except InputProblem:
        if not reference.has_default:
            raise
        return Origin.DEFAULT, reference.default


def _value_at(reference: Reference, document: Document | None, task_id: UUID, found: FoundResult | None) -> Any:
    if found is None:
        raise _missing(reference, f"task {task_id} is no longer there")
    if document is None:
        raise _missing(reference, f"task {task_id}, which is {found.status}, has no result")
    try:
        return document.at(reference.path)
    except Nothing as error:
        raise _missing(reference, f"in the result of task {task_id}, {error}") from None


def _missing(reference: Reference, text: str) -> InputProblem:
    return InputProblem(ErrorCode.INPUT_MISSING, f"{reference.field}: {text}")


def _invalid(field: str, text: str) -> InputProblem:
    return InputProblem(ErrorCode.INPUT_INVALID, f"{field}: {text}")


def _too_large(field: str) -> InputProblem:
    text = f"with what was taken from results, the payload is larger than {MAX_PAYLOAD_BYTES:,} bytes of JSON"
    return InputProblem(ErrorCode.INPUT_TOO_LARGE, f"{field}: {text}")
