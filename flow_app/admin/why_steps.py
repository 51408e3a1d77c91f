"""Where the reasons of `why` lead in the admin, and what the viewer may do about them.

A reason says by its links what it is about; codes decide only what they do not say. So a new reason that names its
queue or its target leads there at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django.contrib.admin.utils import quote
from django.urls import reverse

from access_app.rights import Action, Person
from access_app.staff import display
from tasks_app.admin.why_panel import Step
from tasks_app.models import Task
from tasks_app.reasons import Reason

#: Reasons about the queue that have no link to it.
_OF_QUEUE: Final = frozenset({"FAIR_SHARE", "KEY_LIMIT", "KEY_PAUSED"})
_OF_WORKERS: Final = frozenset(
    {"NO_LIVE_WORKER", "NO_WORKER_FOR_LABELS", "NO_WORKER_LARGE_ENOUGH", "WORKERS_BUSY", "SUSPECT_LIMIT"}
)
_AT_ONCE: Final = "All that is due in it may start at once; its page can open it slowly."


def steps(task: Task, reason: Reason, person: Person) -> Iterator[Step]:
    if "queue" in reason.links or reason.code in _OF_QUEUE:
        yield from _queue_steps(task, reason, person)
    if "target" in reason.links and task.target:
        yield from _target_steps(task.target, person)
    if "freeze" in reason.links and person.may(Action.FREEZE_READ):
        page = reverse("admin:flow_app_freeze_change", args=[reason.links["freeze"].rpartition("/")[2]])
        yield Step(label="Incident page", url=page)
        if person.may(Action.FREEZE_THAW):
            yield Step(label="Thaw it", url=f"{page}#thaw", acts=True)
    if "tasks" in reason.links:
        listed = f"{reverse('admin:tasks_app_task_changelist')}?{reason.links['tasks'].partition('?')[2]}"
        yield Step(label="Waiting tasks of its queue", url=listed)
    if reason.code in _OF_WORKERS and person.may(Action.WORKER_READ):
        yield Step(label="Workers", url=reverse("admin:workers_app_worker_changelist"))
    if reason.code == "NO_LIVE_SCHEDULER" and person.may(Action.SCHEDULER_READ):
        yield Step(label="Schedulers", url=reverse("admin:workers_app_scheduler_changelist"))
    if reason.code == "ASSIGNED" and task.worker_id and person.may(Action.WORKER_READ):
        yield Step(label="Its worker", url=reverse("admin:workers_app_worker_change", args=[task.worker_id]))


def _queue_steps(task: Task, reason: Reason, person: Person) -> Iterator[Step]:
    if not person.may(Action.QUEUE_READ):
        return
    page = reverse("admin:flow_app_queue_change", args=[quote(task.queue)])
    yield Step(label=f"Queue {task.queue}", url=page)
    if reason.code == "QUEUE_PAUSED":
        if person.may(Action.QUEUE_RESUME):
            url = reverse("admin:flow_app_queue_resume", args=[quote(task.queue)])
            question = f"Open the queue {task.queue}? {_AT_ONCE}"
            yield Step(label="Resume the queue", url=url, question=question, acts=True)
    elif person.may(Action.QUEUE_EDIT):
        yield _change(task, reason, page)


def _change(task: Task, reason: Reason, page: str) -> Step:
    """The form in which the rule stands that a reason is about: that of a key, of a resume, or of the queue."""
    key = task.tenant if reason.code == "FAIR_SHARE" else task.concurrency_key
    if key and reason.code in _OF_QUEUE:
        url = reverse("admin:flow_app_queue_key", args=[quote(task.queue)])
        label = "Change its weight" if reason.code == "FAIR_SHARE" else "Change its key"
        return Step(label=label, url=f"{url}?{display.query(key=key)}", acts=True)
    if reason.detail.startswith("the resumeRate"):
        return Step(label="Change the rate of its resume", url=f"{page}#resume", acts=True)
    return Step(label="Change the rules of the queue", url=f"{page}#rules", acts=True)


def _target_steps(host: str, person: Person) -> Iterator[Step]:
    if not person.may(Action.TARGET_READ):
        return
    page = reverse("admin:flow_app_target_change", args=[quote(host)])
    yield Step(label=f"Target {host}", url=page)
    if person.may(Action.TARGET_EDIT):
        yield Step(label="Change the rules of the target", url=f"{page}#rules", acts=True)
