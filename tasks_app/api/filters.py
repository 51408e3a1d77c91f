"""What may be asked of ``GET /tasks``, and what of it helps partial indexes."""

from __future__ import annotations

import operator
import re
from datetime import timedelta
from enum import StrEnum
from functools import reduce
from typing import Final
from uuid import UUID

from django.db.models import Q
from django.http import QueryDict

from access_app.http.filters import By, ExportedList, ListFilters
from access_app.http.openapi.schemas import CORRELATION, ID, INSTANT, NAME, Json, schema
from access_app.http.query import Parameter, Query, flag, instant, matching, one_of, uuid
from access_app.ids import lowest_id
from access_app.texts import CORRELATION_ID
from tasks_app.executors.registry import executors
from tasks_app.failures import failed_so
from tasks_app.fields import QUEUE_NAME
from tasks_app.fingerprints import FINGERPRINT
from tasks_app.models import (
    APPROVAL_ROW,
    ENDED_ROW,
    FROZEN_ROW,
    OWNED_ROW,
    RETRYING_ROW,
    SENT_CORRELATION,
    UNSUCCESSFUL_ROW,
    WAITING_PARTS,
    WAITING_ROW,
    in_batch,
)
from tasks_app.states import FINAL, Gate, TaskStatus

_MILLISECOND: Final = timedelta(milliseconds=1)
_OWN_ID: Final = re.compile(r"[0-9a-f]{32}")
_TEXT: Final[Json] = {"type": "string"}
queue_name: Final = matching(QUEUE_NAME, "must be 1 to 100 characters of A-Z a-z 0-9 . _ : -")
_CORRELATION: Final = matching(CORRELATION_ID, "must be 1 to 128 characters of A-Z a-z 0-9 . _ -")


def hint(parameters: QueryDict) -> Q:
    """The kinds of rows that can match, for filters an index of each kind helps: by status, by correlation id.

    Changes none of the rows: it repeats what partial indexes are about, so that they can be used. The parameters
    have been read.
    """
    statuses = set(map(str, parameters.getlist("status"))) or set(TaskStatus)
    kinds = []
    if statuses & FINAL:
        # Successes have no index by status: without a correlation id the primary key, newest first, is full of them.
        ended = ENDED_ROW if TaskStatus.SUCCESS in statuses else ENDED_ROW & UNSUCCESSFUL_ROW
        kinds = _correlated(ended, str(parameters["correlationId"])) if "correlationId" in parameters else [ended]
    kinds += [OWNED_ROW] if statuses & {TaskStatus.SCHEDULED, TaskStatus.RUNNING} else []
    kinds += WAITING_PARTS if TaskStatus.PENDING in statuses else []
    helps = "correlationId" in parameters or len(kinds) < 2 + len(WAITING_PARTS)
    return reduce(operator.or_, kinds) if helps else Q()


def _correlated(ended: Q, correlation_id: str) -> list[Q]:
    """Ended tasks of a correlation id, in parts that each have an index."""
    return [ended & part for part in _bearers(correlation_id)]


def _bearers(correlation_id: str) -> list[Q]:
    """Tasks that were sent a correlation id, and the one whose own id it is, if that was sent none."""
    own = [Q(pk=correlation_id) & ~SENT_CORRELATION] if _OWN_ID.fullmatch(correlation_id) else []
    return [SENT_CORRELATION & Q(correlation_id=correlation_id), *own]


def _of_correlation(correlation_id: str) -> Q:
    return reduce(operator.or_, _bearers(correlation_id))


def created_from(text: str) -> UUID:
    """The lowest id of the first millisecond that is not before the instant: ids hold whole milliseconds."""
    at = instant(text)
    rest = at.microsecond % 1000
    try:
        return lowest_id(at + (_MILLISECOND if rest else timedelta()))
    except OverflowError:  # the last millisecond of year 9999
        return lowest_id(at)


class TaskGate(StrEnum):
    """What tasks may wait for, as ``gates`` of a queue counts them."""

    KEY = Gate.KEY.name
    DEPENDENCY = Gate.DEPENDENCY.name
    APPROVAL = Gate.APPROVAL.name
    RATE = Gate.RATE.name
    TARGET = Gate.TARGET.name
    TURN = Gate.TURN.name
    FREEZE = Gate.FREEZE.name


def behind(name: str) -> Q:
    """Tasks that wait behind a gate, in the words of the index that has them."""
    gate = Gate[name]
    if gate == Gate.APPROVAL:
        return Q(APPROVAL_ROW, gate=gate)
    if gate == Gate.FREEZE:
        return FROZEN_ROW
    return Q(WAITING_ROW, gate=gate) & (Q(concurrency_key__isnull=False) if gate == Gate.KEY else Q(gate__gt=Gate.KEY))


class TaskFilters(ListFilters):
    """Creation time is in the id, and so is its index."""

    sorts = {"createdAt": "pk", "scheduleAt": "schedule_at", "priority": "priority"}
    sort_schema = "TaskSort"

    status = By.any_of("status__in", TaskStatus, "TaskStatus")
    type = By("type", one_of(lambda: sorted(executors())), _TEXT, "Tasks of this type.")
    queue = By("queue", queue_name, NAME, "Tasks of this queue.")
    worker_id = By("worker_id", uuid, ID, "Tasks held, or last run, by this worker.")
    schedule_id = By("schedule_id", uuid, ID, "Tasks made by this schedule.")
    batch_id = By(in_batch, uuid, ID, "Tasks of this batch.")
    correlation_id = By(
        _of_correlation, _CORRELATION, _TEXT | {"pattern": CORRELATION}, "Tasks with this correlation id."
    )
    failure = By(
        failed_so,
        matching(FINGERPRINT, "must be a fingerprint, as GET /failures has them"),
        _TEXT | {"pattern": f"^{FINGERPRINT.pattern}$"},
        "Tasks whose latest attempt failed as those of this group of GET /failures.",
    )
    retrying = By(
        lambda is_so: RETRYING_ROW if is_so else ~RETRYING_ROW,
        flag,
        {"type": "boolean"},
        "Tasks that have failed and wait for another attempt; `false`: all others.",
    )
    gate = By(behind, one_of(list(TaskGate)), schema("TaskGate"), "Tasks that wait for this; see `why`.")
    ended_after = By("finished_at__gte", instant, INSTANT, "finishedAt ≥ this.")
    ended_before = By("finished_at__lt", instant, INSTANT, "finishedAt < this.")
    created_after = By("id__gte", created_from, INSTANT, "createdAt ≥ this.")
    created_before = By("id__lt", created_from, INSTANT, "createdAt < this.")
    scheduled_after = By("schedule_at__gte", instant, INSTANT, "scheduleAt ≥ this.")
    scheduled_before = By("schedule_at__lt", instant, INSTANT, "scheduleAt < this.")

    def hint(self) -> Q:
        return hint(self.data)


class BulkQuery(Query):
    """How many tasks are created."""

    atomic = Parameter(flag, {"type": "boolean", "default": False}, "All or none.", default=False)


class ExportedTasks(ExportedList, TaskFilters):
    """The same, of all pages together."""
