"""Schemas of tasks, bulk calls, executions and events, with the limits of the code in them.

What has a `type` differs by it: `HttpTask`, `ShellTask`, `DummyTask`, and `CustomTask` for types that an
installation adds, each with the payload and the result of its type.
"""

from __future__ import annotations

from typing import Final

from access_app.http.openapi.components import FULL_FIELDS, PROBLEM_FIELDS
from access_app.http.openapi.lists import pages, sort_set
from access_app.http.openapi.schemas import (
    COUNT,
    ID,
    INSTANT,
    INSTANT_OR_NULL,
    NAME,
    REASON,
    Json,
    array,
    closed_set,
    integer,
    listed,
    nullable,
    obj,
    or_null,
    schema,
    variant,
)
from tasks_app import references
from tasks_app.api.bulk import MAX_TASKS
from tasks_app.api.filters import TaskFilters
from tasks_app.api.openapi.types import EVERY, by_type, needs_payload, type_field
from tasks_app.approvals import MAX_APPROVAL_SECONDS, OnTimeout
from tasks_app.callbacks import CallbackOn, Include
from tasks_app.fields import ASKED, FIELDS, Asked, Field
from tasks_app.labels import LONGEST_LABEL, MOST_IN_ALL, MOST_KEYS, MOST_VALUES
from tasks_app.parents import MAX_PARENTS
from tasks_app.progress import MAX_COUNT, MAX_NOTE
from tasks_app.retries import MAX_DELAY_MS, MOST_DELAYS, Backoff
from tasks_app.states import (
    ErrorCode,
    ExecutionStatus,
    OnBusy,
    OnDuplicate,
    OnWorkerLost,
    Otherwise,
    RunIf,
    TaskStatus,
)

_DELAY: Final = integer(0, MAX_DELAY_MS)
_RETRY_FIELDS: Final[Json] = {
    "backoff": schema("Backoff"),
    "baseDelayMs": _DELAY,
    "maxDelayMs": _DELAY | {"description": "The longest delay, also of one that a `Retry-After` asks for."},
    "jitter": {"type": "boolean"},
    "delaysMs": array(
        _DELAY,
        minItems=1,
        maxItems=MOST_DELAYS,
        description="Of `schedule`, which takes neither of the two others: before each retry; the last comes again.",
    ),
}
_CALLBACK: Final[Json] = {
    "url": {"type": "string", "format": "uri", "description": "Called unsigned. Either this or `endpoint`."},
    "endpoint": NAME | {"description": "The name of an endpoint, whose calls are signed."},
    "on": array(schema("CallbackOn"), minItems=1, description="Absent: every end."),
    "include": schema("Include"),
}
_APPROVAL: Final[Json] = {
    "of": {
        "type": "string",
        "pattern": "^(group|scope):.+$",
        "examples": ["scope:admin", "group:Operator"],
        "description": "`group:NAME`: its members; `scope:NAME`: keys that have it, people who could give it to one.",
    },
    "timeoutSeconds": integer(1, MAX_APPROVAL_SECONDS) | {"description": "Absent: it is waited for without an end."},
    "onTimeout": schema("OnTimeout"),
    "note": REASON | {"description": "What is to be approved; `why` says it."},
    "allowRequester": {
        "type": "boolean",
        "description": "Also who has asked for the task, changed it, or had it run again.",
    },
}
#: Fields whose schema depends on the task's type.
_OF_TYPE: Final = {"type", "payload"}


def _new_field(row: Asked) -> Json:
    """A field as somebody asks for it: what it is for, and its default, which is the code's."""
    more: Json = {"description": row.help} if row.help else {}
    if row.default is None:
        return variant(row.kind.schema, null=True, **more)
    return variant(row.kind.schema, default=row.default, **more)


def _shown_field(row: Field) -> Json:
    more: Json = {} if isinstance(row, Asked) or not row.help else {"description": row.help}
    return variant(row.kind.schema, null=row.null, **more)


#: What somebody asks for, but for type and payload.
NEW_TASK_FIELDS: Final[Json] = {row.name: _new_field(row) for row in ASKED if row.name not in _OF_TYPE}

#: The fields of a task as lists show them, but for the type; the policy of its retries is the one in force.
_LISTED: Final[Json] = {
    **{row.name: _shown_field(row) for row in FIELDS if row.listed and row.name not in _OF_TYPE},
    "retry": schema("RetryPolicy"),
    "error": or_null("Error"),
}
_UNLISTED: Final[Json] = {row.name: _shown_field(row) for row in FIELDS if not row.listed and row.name not in _OF_TYPE}

_LABEL: Final[Json] = {"type": "string", "maxLength": LONGEST_LABEL}

_BULK_FIELDS: Final[Json] = {
    "created": integer(0, MAX_TASKS),
    "existing": integer(0, MAX_TASKS) | {"description": "Items whose uniqueKey an open task has; theirs is its id."},
    "failed": integer(0, MAX_TASKS),
    "items": array(schema("BulkItem"), description="One for each task, in their order."),
}
_READ: Final = "Without `payload`, `result` and `error` for a caller that may not read tasks (`tasks:read`)."


def _new_task(kind: str) -> Json:
    needs = ["type", "payload"] if needs_payload(kind) else ["type"]
    return obj({"type": type_field(kind), "payload": schema(f"{kind}Payload"), **NEW_TASK_FIELDS}, required=needs)


def _task(kind: str) -> Json:
    own = {"type": type_field(kind), "payload": schema(f"{kind}Payload"), "result": or_null(f"{kind}Result")}
    required = ["type", *(name for name in _LISTED if name != "error")]
    return obj(own | _LISTED | _UNLISTED, required=required, description=_READ)


SCHEMAS: Final[Json] = {
    "TaskStatus": closed_set(TaskStatus, "Where a task stands. It has ended as SUCCESS, FAILED or CANCELLED."),
    "ExecutionStatus": closed_set(
        ExecutionStatus, "How an attempt ended. LOST: its worker died; RELEASED: given back."
    ),
    "ErrorCode": closed_set(ErrorCode, "What kind of thing went wrong."),
    "OnBusy": closed_set(
        OnBusy,
        "If its concurrencyKey is busy: wait, create none, create none if one waits already, cancel those before it.",
    ),
    "OnDuplicate": closed_set(
        OnDuplicate,
        "If an open task has the uniqueKey: return it, refuse this one, put this one in its place, put it off.",
    ),
    "RunIf": closed_set(
        RunIf,
        "When those it depends on let it run: all have succeeded, all have ended, one has succeeded, one has FAILED, "
        "all have ended and none has FAILED.",
    ),
    "Otherwise": closed_set(Otherwise, "If they never will: it ends CANCELLED or FAILED, with DEPENDENCY_FAILED."),
    "OnWorkerLost": closed_set(OnWorkerLost, "After the loss of its worker in the middle of it: run again, or fail."),
    "Backoff": closed_set(Backoff, "How the delay grows from retry to retry."),
    **{f"New{kind}Task": _new_task(kind) for kind in EVERY},
    "NewTask": by_type("Task", prefix="New"),
    **{f"{kind}Task": _task(kind) for kind in EVERY},
    "Task": by_type("Task"),
    "TaskChanges": obj({row.name: _shown_field(row) for row in ASKED if row.edit}, required=[], minProperties=1),
    "RetryOptions": obj(_RETRY_FIELDS, required=[], description="Any subset; the rest comes from the settings."),
    "RequiredLabels": {
        "type": "object",
        "maxProperties": MOST_KEYS,
        "additionalProperties": {"oneOf": [_LABEL, array(_LABEL, minItems=1, maxItems=MOST_VALUES)]},
        "description": "Each key with the value its worker must have for it, or several of which one will do;"
        f" {MOST_IN_ALL} values in all.",
    },
    "RetryPolicy": obj(
        _RETRY_FIELDS,
        required=[name for name in _RETRY_FIELDS if name != "delaysMs"],
        description="The policy in force.",
    ),
    "Approval": obj(_APPROVAL, required=["of"], description="Who must approve the task before it runs."),
    "OnTimeout": closed_set(OnTimeout, "If nobody has approved in time: it is cancelled, fails, or runs."),
    "Decision": obj({"reason": REASON}, required=[], description="And why."),
    "Callback": obj(_CALLBACK, required=[], description="Who is told.", examples=[{"url": "https://a.example"}]),
    "CallbackOn": closed_set(CallbackOn, "What somebody is told of; late_result: a result that came too late."),
    "Include": closed_set(Include, "What is sent besides how it ended: its result, up to 20 kB."),
    "TaskItem": obj(
        {"type": {"type": "string"}, **_LISTED}, description="A task in a list: without payload and result."
    ),
    **pages("TaskItem"),
    "TaskSort": sort_set(TaskFilters),
    "BulkRequest": obj({"tasks": array(schema("NewTask"), minItems=1, maxItems=MAX_TASKS)}),
    "BulkItem": {"oneOf": [schema("BulkCreated"), schema("BulkRefused")]},
    "BulkCreated": obj(
        {"id": ID, "existing": {"type": "boolean", "description": "It was there before, and has the uniqueKey."}},
        required=["id"],
    ),
    "BulkRefused": obj({"errors": array(schema("FieldError"))}),
    "BulkAnswer": obj(_BULK_FIELDS),
    "BulkProblem": obj(
        PROBLEM_FIELDS | FULL_FIELDS | _BULK_FIELDS,
        required=list(PROBLEM_FIELDS),
        description="A problem; when each task was looked at, also what is wrong with it.",
    ),
    "Error": obj(
        {"code": schema("ErrorCode"), "message": {"type": "string"}},
        description="Why an attempt, or the task, did not succeed.",
    ),
    "Execution": obj(
        {
            "attempt": {"type": "integer", "minimum": 1},
            "workerId": ID,
            "status": schema("ExecutionStatus"),
            "startedAt": INSTANT,
            "finishedAt": INSTANT,
            "durationMs": COUNT,
            "result": or_null("Result"),
            "error": or_null("Error"),
            "late": or_null("LateResult"),
        }
    ),
    "LateResult": obj(
        {
            "outcome": schema("ExecutionStatus"),
            "at": INSTANT,
            "result": or_null("Result"),
            "error": or_null("Error"),
        },
        description="A result that arrived after the attempt was taken away. It changed no task.",
    ),
    "Event": obj(
        {
            "at": INSTANT,
            "from": or_null("TaskStatus"),
            "to": schema("TaskStatus"),
            "actor": {"type": "string"},
            "reason": {"type": "string"},
            "attempt": COUNT,
        }
    ),
    "Dependencies": obj(
        {
            "runIf": or_null("RunIf"),
            "otherwise": or_null("Otherwise"),
            "content": array(schema("Dependency"), maxItems=MAX_PARENTS),
        },
        description="Empty for a task that was created without dependsOn.",
    ),
    "Dependency": obj(
        {"taskId": ID, "batchId": ID, "outcome": or_null("TaskStatus")},
        required=["outcome"],
        description="How a task, or a batch, ended that another task depends on.",
    ),
    "ResultReference": references.SCHEMA,
    "UsedInputs": obj(
        {
            "attempt": nullable("integer", minimum=1, description="The one that took them; null: none has yet."),
            "content": array(schema("UsedInput"), maxItems=references.MOST_REFERENCES),
        },
        description="What the latest attempt that began has taken from results of other tasks.",
    ),
    "UsedInput": obj(
        {
            "field": {"type": "string", "description": "Where in the task it went to, as `payload.argv.1`."},
            "taskId": ID,
            "attempt": nullable("integer", description="The attempt whose result it was; null: there was none."),
            "path": {"type": "string"},
            "origin": schema("InputOrigin"),
            "value": {"description": "What it was. Secrets are masked, by the names of fields that hold it."},
        }
    ),
    "InputOrigin": closed_set(
        references.Origin, "It was in the result, is the default, was nowhere, or was of no use where it stands."
    ),
    "Progress": obj(
        {
            "attempt": nullable("integer", minimum=1, description="The one that said it; null: none has said a word."),
            "percent": nullable("integer", minimum=0, maximum=100),
            "done": nullable("integer", minimum=0),
            "total": nullable("integer", minimum=0),
            "note": nullable("string", maxLength=MAX_NOTE),
            "reportedAt": INSTANT_OR_NULL,
        }
    ),
    "ProgressReport": obj(
        {
            "percent": integer(0, 100),
            "done": integer(0, MAX_COUNT),
            "total": integer(0, MAX_COUNT),
            "note": {"type": "string", "maxLength": MAX_NOTE},
        },
        required=[],
        description="`percent`, or `done`, also of `total`: then the percentage follows. `note` is a line of text.",
    ),
    "RetryRequest": obj(
        {"dependents": {"type": "boolean", "default": False}},
        required=[],
        description="`dependents`: with those that ended without having run because of it.",
    ),
    "Parent": {"oneOf": [{"type": "string", "minLength": 1, "maxLength": 100}, schema("WholeBatch")]},
    "WholeBatch": obj({"batch": ID}, description="All that is in a batch."),
    "ExecutionList": listed(schema("Execution")),
    "EventList": listed(schema("Event")),
}
