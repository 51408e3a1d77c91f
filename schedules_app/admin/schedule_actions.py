"""What the form and the buttons of a schedule do: one call of the services each, and what came of it in words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypeVar

from django import forms
from django.contrib import messages
from django.http import HttpRequest
from django.utils.html import format_html

from access_app.idempotency import Idempotency
from access_app.rights import Action, Refused
from access_app.staff import display
from access_app.staff.base import actor_of, person_of
from access_app.staff.form_fields import UtcInstant
from access_app.versions import Stale
from schedules_app import guards, manual_runs, services
from schedules_app.admin.ledger import utc
from schedules_app.admin.schedule_form import ScheduleForm
from schedules_app.admin.schedule_page import plural_of
from schedules_app.manual_runs import MAX_BACKFILL, CreatedBatch, InvalidBackfill
from schedules_app.models import Schedule
from schedules_app.new_schedules import InvalidSchedule, NewSchedule
from schedules_app.services import CreatedSchedule, NameTaken, ScheduleNotFound
from tasks_app.bounds import QueueFull
from tasks_app.duplicates import DuplicateTask

#: Where the problems of a backfill are shown.
_BACKFILL_FIELDS: Final = {"from": "since", "to": "until", "limit": "limit"}

T = TypeVar("T")


class BackfillForm(forms.Form):
    """Which slots to run after all."""

    since = UtcInstant(label="From (UTC)")
    until = UtcInstant(label="To (UTC)", help_text="Slots that are still to be decided are left out.")
    limit = forms.IntegerField(
        label="At most", initial=100, help_text=f"Tasks to make, oldest slot first: 1 to {MAX_BACKFILL:,}."
    )
    priority = forms.IntegerField(
        required=False,
        min_value=-100,
        max_value=100,
        initial=-10,
        help_text="Low: fresh slots go first. Empty: as the schedule's other tasks.",
    )

    @classmethod
    def of(cls, schedule: Schedule) -> BackfillForm:
        """The form as it is offered: the last day that was decided."""
        newest = schedule.last_slot.replace(microsecond=0)
        times = {"since": newest - timedelta(days=1), "until": newest}
        return cls(initial={name: f"{at:%Y-%m-%dT%H:%M:%S}" for name, at in times.items()})


@contextmanager
def refusals_shown(request: HttpRequest) -> Iterator[None]:
    """Turn what the services refuse into a message."""
    try:
        yield
    except Stale:
        messages.error(request, "Nothing was done: the schedule has changed since you looked. See what it is now.")
    except ScheduleNotFound:
        messages.error(request, "Nothing was done: somebody has deleted the schedule.")
    except (InvalidSchedule, NameTaken, DuplicateTask, QueueFull) as error:
        messages.error(request, f"Nothing was done: {error}.")
    except Refused as error:  # it has come to run something else since the button was shown
        messages.error(request, f"Nothing was done. {error}")


def pause(request: HttpRequest, schedules: list[Schedule], *, reason: str = "") -> None:
    waiting = [schedule for schedule in schedules if not schedule.paused]
    done = []
    for schedule in waiting:
        with refusals_shown(request):
            done.append(services.pause_schedule(schedule.pk, actor=actor_of(request), reason=reason).name)
    _show_count(request, "paused", done, len(schedules) - len(waiting))


def resume(request: HttpRequest, schedules: list[Schedule], *, reason: str = "") -> None:
    paused = [schedule for schedule in schedules if schedule.paused]
    person, done = person_of(request), []
    guard = guards.may_run(person, Action.SCHEDULE_RESUME)
    for schedule in paused:
        with refusals_shown(request):
            done.append(services.resume_schedule(schedule.pk, actor=person.name, reason=reason, guard=guard).name)
    _show_count(request, "resumed", done, len(schedules) - len(paused))


def enable(request: HttpRequest, schedule: Schedule) -> None:
    person = person_of(request)
    change = guards.schedule_change(person, lambda before: replace(before, enabled=True))
    with refusals_shown(request):
        services.edit_schedule(schedule.pk, change, actor=person.name)
        messages.success(request, f"The schedule {schedule.name} is on. Nothing runs before its next slot.")


def create(request: HttpRequest, new: NewSchedule) -> CreatedSchedule:
    """Create a schedule; `saved` shows what it raises."""
    person = person_of(request)
    guards.require_types(person, Action.SCHEDULE_CREATE, new)
    guards.require_results(person, new)
    return services.create_schedule(new, created_by=person.name)


def trigger(request: HttpRequest, schedule: Schedule) -> None:
    """Run it now. ``once`` is made up with each page, so that a second click runs nothing."""
    once = request.POST.get("once", "")[:64]
    fingerprint = hashlib.sha256(f"trigger {schedule.pk}".encode()).digest()
    idempotency = Idempotency(f"admin:{once}", fingerprint) if once.isalnum() and once.isascii() else None
    person = person_of(request)
    guard = guards.may_run(person, Action.SCHEDULE_TRIGGER)
    with refusals_shown(request):
        made = manual_runs.trigger_schedule(schedule.pk, actor=person.name, idempotency=idempotency, guard=guard)
        words = "was made by the first click already" if made.replayed else "was made"
        if isinstance(made, CreatedBatch):
            messages.success(request, format_html("Batch {} {}.", display.batch_link(made.id), words))
        else:
            messages.success(request, format_html("Task {} {}.", display.task_link(made.task.pk), words))


def backfill(request: HttpRequest, schedule: Schedule, form: BackfillForm) -> bool:
    """Run the slots of a valid form; False when it was refused, which the form now shows."""
    cleaned, person = form.cleaned_data, person_of(request)
    wanted: dict[str, Any] = {name: cleaned[name] for name in ("since", "until", "limit", "priority")}
    guard = guards.may_run(person, Action.SCHEDULE_BACKFILL)
    with refusals_shown(request):
        try:
            done = manual_runs.backfill_schedule(schedule.pk, actor=person.name, guard=guard, **wanted)
        except InvalidBackfill as error:
            for name, problem in error.problems.items():
                form.add_error(_BACKFILL_FIELDS.get(name), problem)
            return False
        if done.made:
            first, last = done.made[0][0], done.made[-1][0]
            count = _counted(len(done.made), "batch" if done.of_batches else "task")
            text = f"{count} made for slots from {utc(first)} to {utc(last)}."
            more = " More slots of this window did not run: backfill again for them." if done.more else ""
            messages.success(request, text + more)
        else:
            messages.warning(request, "Nothing to do: every slot of this window has run, or there is none.")
    return True


def clone(request: HttpRequest, schedule: Schedule) -> Schedule | None:
    person = person_of(request)
    guard = guards.may_run(person, Action.SCHEDULE_CLONE)
    with refusals_shown(request):
        name = request.POST.get("name", "").strip()
        made = services.clone_schedule(schedule.pk, name=name, actor=person.name, guard=guard)
        messages.success(request, f"{made.name} is a copy of {schedule.name}. It is off: enable it when it is right.")
        return made
    return None


def delete(request: HttpRequest, schedule: Schedule, *, reason: str) -> bool:
    """Delete what the person saw: one that was changed meanwhile is left alone."""
    version = request.POST.get("version", "")
    versions = [int(version)] if version.isascii() and version.isdigit() else []
    with refusals_shown(request):
        services.delete_schedule(schedule.pk, actor=actor_of(request), reason=reason, versions=versions)
        return True
    return False


def saved(form: ScheduleForm, save: Callable[[], T]) -> T | None:
    """What was saved; None when it was refused, which the form now shows."""
    try:
        return save()
    except InvalidSchedule as error:
        form.show_problems(error.problems)
    except NameTaken as error:
        form.add_error("name", f"{str(error).capitalize()}.")
    except Stale as error:
        form.add_error(
            None,
            f"Somebody changed this schedule while you were editing it: it is at version {error.version} now,"
            f" and you started from {form['version'].value()}. Nothing was saved. Open it anew to see what is there.",
        )
    except ScheduleNotFound:
        form.add_error(None, "Somebody deleted this schedule while you were editing. Nothing was saved.")
    except Refused as error:
        form.add_error(None, f"Nothing was saved. {error}")
    return None


def _show_count(request: HttpRequest, word: str, names: list[str], others: int) -> None:
    text = f"{len(names)} schedule{'' if len(names) == 1 else 's'} {word}"
    text += f": {', '.join(names[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''}." if names else "."
    if others:
        text += f" {others} already {'were' if others > 1 else 'was'}."
    messages.add_message(request, messages.SUCCESS if names else messages.WARNING, text)


def _counted(count: int, noun: str) -> str:
    return f"1 {noun} was" if count == 1 else f"{count:,} {plural_of(noun)} were"
