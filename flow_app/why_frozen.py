"""Which freezes hold a task: reasons why it is not running now, beside those of ``why.py``."""

from __future__ import annotations

from django.db.models import Q

from flow_app.freeze_table import GOING, FreezeStatus, of_statuses
from flow_app.models import Freeze
from flow_app.rules import RESUME_RATE
from tasks_app.models import Task
from tasks_app.reasons import Reason
from tasks_app.states import Gate, TaskStatus

#: Most freezes that are named.
MOST = 20


def why_frozen(task: Task) -> list[Reason]:
    """Each freeze that covers it and is open; for one that is not back yet after a thaw, that thaw."""
    if task.status != TaskStatus.PENDING:
        return []
    covering = Freeze.objects.filter(covers(queue=task.queue, type=task.type, target=task.target))
    if held := [_held_by(each, task) for each in covering.filter(of_statuses([FreezeStatus.OPEN]))[:MOST]]:
        return held
    if task.gate != Gate.FREEZE:
        return []
    thawing = covering.filter(GOING).first()
    return [_comes_back(thawing)] if thawing else []


def covers(*, queue: str, type: str, target: str | None) -> Q:  # noqa: A002 - the name of the field
    """Those that cover such a task."""
    found = Q(queues__contains=[queue]) | Q(types__contains=[type])
    return found | Q(targets__contains=[target]) if target else found


def _held_by(freeze: Freeze, task: Task) -> Reason:
    if task.queue in freeze.queues:
        what = f"queue {task.queue}"
    elif task.type in freeze.types:
        what = f"type {task.type}"
    else:
        what = f"target {task.target}"
    why = f": {freeze.reason}" if freeze.reason else ""
    detail = f"{what} is frozen by {freeze.created_by}{why}"
    return Reason("FREEZE", detail, freeze.until, {"freeze": f"/freezes/{freeze.pk}"})


def _comes_back(freeze: Freeze) -> Reason:
    rate = RESUME_RATE.shown(freeze)
    pace = f" at {rate['limit']:,} in {rate['periodSeconds']:,} s" if rate else ""
    detail = f"the freeze that held it is thawed, and what waited comes back{pace}"
    return Reason("FREEZE", detail, links={"freeze": f"/freezes/{freeze.pk}"})
