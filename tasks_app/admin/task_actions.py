"""Cancel, retry and clone, for one task or many: one domain call each, and a sentence about what came of them.

What a task's state allows is decided by the services at that moment; `allowed` only says which buttons to show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from access_app.rights import Caller, Person, Refused
from access_app.staff.display import task_link
from access_app.versions import Stale, Versions
from tasks_app import approving, deciding, services
from tasks_app.bounds import QueueFull
from tasks_app.duplicates import DuplicateTask
from tasks_app.models import Task
from tasks_app.new_tasks import InvalidTask
from tasks_app.states import FINAL, Gate, TaskStatus
from tasks_app.transitions import IllegalTransition, TaskNotFound

#: How many tasks of each outcome a message names.
_MOST_NAMED = 5


@dataclass(slots=True)
class Report:
    """What came of an action: ids by the words that describe it. ``links`` are new tasks."""

    done: dict[str, list[UUID]] = field(default_factory=dict)
    refused: dict[str, list[UUID]] = field(default_factory=dict)

    def add(self, words: str, task_id: UUID, *, ok: bool) -> None:
        (self.done if ok else self.refused).setdefault(words, []).append(task_id)

    def show(self, request: HttpRequest) -> None:
        """Show it as one message: a success, a warning when some were refused, an error when all were."""
        level = messages.SUCCESS if not self.refused else messages.WARNING if self.done else messages.ERROR
        parts = [*self.done.items(), *self.refused.items()]
        messages.add_message(request, level, format_html_join(" ", "{}", ((_sentence(*part),) for part in parts)))


def allowed(task: Task, person: Person) -> set[str]:
    """The actions the state of a task allows, and the approval that it waits for."""
    waits = task.status == TaskStatus.PENDING and task.gate == Gate.APPROVAL
    decides = {"approve", "reject"} if waits and approving.refusal(person, task) is None else set()
    return _allowed(task) | decides


def _allowed(task: Task) -> set[str]:
    if task.status in FINAL:
        return {"retry", "clone"}
    return {"clone"} if task.cancel_requested_at is not None else {"cancel", "clone"}


def cancel(task_ids: Iterable[UUID], *, actor: str, reason: str = "") -> Report:
    def one(task_id: UUID) -> str:
        task = services.cancel_task(task_id, actor=actor, reason=reason)
        return "cancelled" if task.status == TaskStatus.CANCELLED else "running when asked to stop"

    return _each(task_ids, one, "had already ended")


def retry(task_ids: Iterable[UUID], *, actor: str, reason: str = "", versions: Versions = None) -> Report:
    def one(task_id: UUID) -> str:
        services.retry_task(task_id, actor=actor, reason=reason, versions=versions)
        return "due again"

    return _each(task_ids, one, "not ended yet")


def clone(task_ids: Iterable[UUID], *, actor: str) -> tuple[Report, list[Task]]:
    made: list[Task] = []

    def one(task_id: UUID) -> str:
        made.append(services.clone_task(task_id, actor=actor))
        return "cloned"

    return _each(task_ids, one, "not cloned"), made


def approve(task_id: UUID, *, caller: Caller, reason: str, versions: Versions) -> Report:
    def one(task_id: UUID) -> str:
        deciding.approve_task(task_id, caller=caller, reason=reason, versions=versions)
        return "approved"

    return _each([task_id], one, "not approved: it waits for that no longer")


def reject(task_id: UUID, *, caller: Caller, reason: str, versions: Versions) -> Report:
    def one(task_id: UUID) -> str:
        deciding.reject_task(task_id, caller=caller, reason=reason, versions=versions)
        return "rejected"

    return _each([task_id], one, "not rejected: it waits for no approval any longer")


def _each(task_ids: Iterable[UUID], one: Callable[[UUID], str], refused: str) -> Report:
    """Each task in a transaction of its own: the refusal of one holds up no other."""
    report = Report()
    for task_id in task_ids:
        try:
            report.add(one(task_id), task_id, ok=True)
        except IllegalTransition:
            report.add(refused, task_id, ok=False)
        except TaskNotFound:
            report.add("gone meanwhile", task_id, ok=False)
        except Stale:
            report.add("changed since you looked, and left alone", task_id, ok=False)
        except DuplicateTask:
            report.add("left alone, because an open task has its unique key", task_id, ok=False)
        except QueueFull as error:
            report.add(f"refused, because {error.full}", task_id, ok=False)
        except Refused as error:
            report.add(f"left alone ({error})", task_id, ok=False)
        except InvalidTask as error:
            report.add(f"refused ({error})", task_id, ok=False)
    return report


def _sentence(words: str, task_ids: list[UUID]) -> SafeString:
    count = len(task_ids)
    named = format_html_join(", ", "{}", ((task_link(task_id),) for task_id in task_ids[:_MOST_NAMED]))
    more = f" and {count - _MOST_NAMED} more" if count > _MOST_NAMED else ""
    return format_html("{} task{} {}: {}{}.", count, "" if count == 1 else "s", words, named, more)
