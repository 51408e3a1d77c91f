"""The fields of a task, a line each: those somebody may ask for (`NewTask`), and those the scheduler adds. Pure.

A new field is a line here, a column in ``models`` and a migration. From its line follow reading and checking it,
storing, cloning and showing it, templates of schedules, forms and the OpenAPI document; what it does is up to others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, MISSING, dataclass, field, fields, replace
from dataclasses import Field as Attribute
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, get_type_hints

from access_app.http.fields import anything
from access_app.texts import CORRELATION_ID
from tasks_app.approvals import APPROVAL, CONSENT
from tasks_app.callbacks import CALLBACK, NOBODY, TOLD
from tasks_app.executors.base import JsonObject
from tasks_app.kinds import COUNT, FLAG, ID, INSTANT, TEXT, Kind, document, matching, one_of, visible, whole
from tasks_app.labels import Required, read_required_labels
from tasks_app.parents import PARENTS, WholeBatch
from tasks_app.retries import read_options
from tasks_app.states import OnBusy, OnDuplicate, OnWorkerLost, Otherwise, RunIf, TaskStatus

MAX_TIMEOUT_MS: Final = 86_400_000
MAX_SLOTS: Final = 1000
MAX_DEBOUNCE_SECONDS: Final = 7 * 86_400
QUEUE_NAME: Final = re.compile(r"[A-Za-z0-9._:-]{1,100}", re.ASCII)
#: The default of a field that has none.
REQUIRED: Final = object()


@dataclass(frozen=True, slots=True)
class Field:
    """A column of ``tasks`` as the API shows it."""

    kind: Kind
    help: str = ""
    _: KW_ONLY
    name: str = ""
    column: str = ""
    #: Whether the column may be NULL.
    null: bool = False
    #: Whether lists show it, and callers that may not read tasks see it: it is small, and holds no secret.
    listed: bool = True


@dataclass(frozen=True, slots=True)
class Asked(Field):
    """A field that whoever creates a task may set. ``name``, ``column`` and ``default`` are those of `NewTask`."""

    #: None: it may be null, which is the same as absent.
    default: Any = REQUIRED
    #: What pages and forms call it.
    label: str = ""
    #: Whether it may be changed until the task starts.
    edit: bool = False
    #: Whether the template of a schedule has it.
    template: bool = True
    #: Whether a clone has it, too.
    cloned: bool = True
    #: Whether the admin's forms ask for it.
    form: bool = True
    #: Whether it is kept with the task, in a column of its name; else it only says how the task is created.
    stored: bool = True
    #: What null stands for to who creates a task, where that is not the same as absent.
    null_says: Any = None

    def asked(self, value: Any) -> Any:
        """The value of `NewTask` for one that is stored, and may be NULL."""
        return self.null_says if value is None else value


_PAYLOAD: Final = document("Payload", anything)
_QUEUE: Final = matching(QUEUE_NAME, "1 to 100 characters of A-Z a-z 0-9 . _ : -")
_CORRELATION: Final = matching(CORRELATION_ID, "1 to 128 characters of A-Z a-z 0-9 . _ -")
_LOST: Final = one_of(OnWorkerLost, {"retry": "run it again", "fail": "fail it (at most once)"})
_LABELS: Final = document("RequiredLabels", read_required_labels)
_OF_ITS_WORKER: Final = 'Runs only where they are all found, as {"gpu": "a100", "zone": ["a", "b"]}: of a list, one.'
_SLOTS: Final = "Of its worker. A worker runs so many tasks at once that theirs add up to its own."
_EXPIRES: Final = "Not started by then, it ends FAILED/EXPIRED. Must lie after scheduleAt."
_DEFAULTED: Final = "Absent: the default of this installation."
_ONE_AT_A_TIME: Final = "At most one task per queue and key is assigned or running at any instant."
_BUSY: Final = one_of(
    OnBusy,
    {
        "queue": "let it wait its turn",
        "skip": "do not create it",
        "queue_one": "let it wait, unless one waits already",
        "cancel_running": "cancel those before it",
    },
)
_UNIQUE: Final = "At most one task per queue and key is open: waits, is assigned, or runs."
_DUPLICATE: Final = one_of(
    OnDuplicate,
    {
        "return": "return that one",
        "reject": "refuse this one",
        "replace": "put this one in its place, if it has not started",
        "postpone": "put it off, if it has not started",
    },
)
_DEBOUNCE: Final = "With onDuplicate postpone: due so long after the latest call."
_DEBOUNCE_MAX: Final = "And never put off further than so long after the first one."
_DEPENDS: Final = """Ids of tasks that must end first, or {"batch": id}; in a bulk call also each other's ref."""
_REF: Final = "What dependsOn of the other tasks of a bulk call name it by."
_RUN_IF: Final = one_of(
    RunIf,
    {
        "all_success": "all of them have succeeded",
        "all_done": "all have ended, however",
        "any_success": "one has succeeded",
        "any_failed": "one has failed",
        "none_failed": "all have ended, and none has failed",
    },
)
_OTHERWISE: Final = one_of(Otherwise, {"cancel": "cancel it", "fail": "fail it"})
#: Says how a task is created, once: nothing of it is kept.
_once: Final = partial(Asked, template=False, cloned=False, stored=False)
_TENANT: Final = "Whose share of its queue it draws on, where the queue is shared by fairKey."
#: A template has no times, since a slot is the time; and a clone is due now.
_time: Final = partial(Asked, INSTANT, edit=True, template=False, cloned=False)


_callback: Final = partial(Asked, CALLBACK, TOLD, null=True, edit=True, listed=False, null_says=NOBODY)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task to create. ``None`` means: the default of this installation (or now, for ``schedule_at``)."""

    type: Annotated[str, Asked(TEXT)]
    payload: Annotated[JsonObject, Asked(_PAYLOAD, edit=True, listed=False)] = field(default_factory=dict)
    queue: Annotated[str, Asked(_QUEUE, edit=True)] = "default"
    priority: Annotated[int, Asked(whole(-100, 100), "Higher starts first.", edit=True)] = 0
    schedule_at: Annotated[datetime | None, _time("When it is to run; absent or past: now.")] = None
    expires_at: Annotated[datetime | None, _time(_EXPIRES, null=True)] = None
    max_retries: Annotated[int | None, Asked(whole(0, 1000), _DEFAULTED, label="Retries", edit=True)] = None
    timeout_ms: Annotated[int, Asked(whole(1, MAX_TIMEOUT_MS), label="Time-out (ms)", edit=True)] = 300_000
    concurrency_key: Annotated[str | None, Asked(visible(200), _ONE_AT_A_TIME, null=True)] = None
    fair_key: Annotated[str | None, Asked(visible(200), _TENANT, null=True)] = None
    required_labels: Annotated[Required | None, Asked(_LABELS, _OF_ITS_WORKER, null=True, edit=True)] = None
    slots: Annotated[int, Asked(whole(1, MAX_SLOTS), _SLOTS, label="Slots it takes", edit=True)] = 1
    correlation_id: Annotated[str | None, Asked(_CORRELATION, "Absent: the request's.", cloned=False)] = None
    retry: Annotated[JsonObject | None, Asked(document("RetryOptions", read_options), null=True, form=False)] = None
    on_worker_lost: Annotated[str, Asked(_LOST, label="If its worker is lost")] = OnWorkerLost.RETRY
    task_token: Annotated[bool, Asked(FLAG, "Each attempt gets one, for its batch, progress and inputs.")] = False
    callback: Annotated[JsonObject | None, _callback()] = None
    approval: Annotated[JsonObject | None, Asked(APPROVAL, CONSENT, null=True, listed=False)] = None
    unique_key: Annotated[str | None, Asked(visible(200), _UNIQUE, null=True, cloned=False)] = None
    on_busy: Annotated[str, _once(_BUSY, label="If its concurrency key is busy")] = OnBusy.QUEUE
    on_duplicate: Annotated[str, _once(_DUPLICATE, label="If its unique key is taken")] = OnDuplicate.RETURN
    debounce_seconds: Annotated[int | None, _once(whole(1, MAX_DEBOUNCE_SECONDS), _DEBOUNCE)] = None
    debounce_max_seconds: Annotated[int | None, _once(whole(1, MAX_DEBOUNCE_SECONDS), _DEBOUNCE_MAX)] = None
    ref: Annotated[str | None, _once(visible(100), _REF, null=True, form=False)] = None
    depends_on: Annotated[Sequence[str | WholeBatch] | None, _once(PARENTS, _DEPENDS, null=True, form=False)] = None
    run_if: Annotated[str, _once(_RUN_IF, "When those it depends on let it run.", form=False)] = RunIf.ALL_SUCCESS
    otherwise: Annotated[str, _once(_OTHERWISE, "If they never will.", form=False)] = Otherwise.CANCEL


def _asked() -> Iterator[Asked]:
    hints = get_type_hints(NewTask, include_extras=True)
    for attribute in fields(NewTask):
        [row] = hints[attribute.name].__metadata__
        yield replace(
            row,
            column=attribute.name,
            name=_json_name(attribute.name),
            label=row.label or attribute.name.replace("_", " ").capitalize(),
            default=_default_of(attribute),
        )


def _default_of(attribute: Attribute[Any]) -> Any:
    if attribute.default_factory is not MISSING:
        return attribute.default_factory()
    return REQUIRED if attribute.default is MISSING else attribute.default


def _kept(**columns: Field) -> list[Field]:
    return [replace(row, column=column, name=row.name or _json_name(column)) for column, row in columns.items()]


def _json_name(column: str) -> str:
    return column[0] + column.title().replace("_", "")[1:]


#: What somebody may ask for.
ASKED: Final = tuple(_asked())
#: What only the scheduler writes.
KEPT: Final = tuple(
    _kept(
        id=Field(ID),
        status=Field(one_of(TaskStatus)),
        run_at=Field(INSTANT, "When it is due next: scheduleAt, or the end of a backoff.", name="nextRunAt"),
        retry_count=Field(COUNT, "Retries granted after failures; never above maxRetries."),
        crash_count=Field(COUNT, "Attempts lost with their worker."),
        attempt=Field(COUNT, "Grows with every start, and never goes back."),
        batch_id=Field(ID, "The batch it belongs to.", null=True),
        schedule_id=Field(ID, "The recurring schedule that made it.", null=True),
        scheduled_for=Field(INSTANT, "The time of the schedule it was made for.", null=True),
        idempotency_key=Field(TEXT, null=True),
        created_by=Field(TEXT, "The name of the API key, or user:NAME."),
        worker_id=Field(ID, null=True),
        version=Field(Kind(schema={"type": "integer", "minimum": 1}), "Grows by one with every change; also the ETag."),
        cancel_requested_at=Field(INSTANT, null=True),
        created_at=Field(INSTANT),
        updated_at=Field(INSTANT),
        assigned_at=Field(INSTANT, null=True),
        started_at=Field(INSTANT, null=True),
        finished_at=Field(INSTANT, null=True),
    )
)
#: All of them, as they are shown: what it is, what was asked for, what became of it.
FIELDS: Final = (*KEPT[:2], *(row for row in ASKED if row.stored), *KEPT[2:])
#: Shown with a task, and no columns of it: they are those of its latest ended attempt.
OF_ATTEMPT: Final = ("result", "error")
#: What the template of a schedule has: a slot is the time.
TEMPLATE: Final = tuple(row for row in ASKED if row.template)
