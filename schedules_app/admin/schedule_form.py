"""The form of a schedule, for a new one and for an edit. What is right is decided by the checks every way in shares.

`WhenForm` is the part that the preview reads while somebody types. Of an edit, only fields that were changed are
taken over: what the form does not show, or shows with less precision, stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any, Final
from zoneinfo import available_timezones

from django import forms

from access_app.staff import form_fields
from access_app.staff.form_fields import JsonText, UtcInstant
from access_app.texts import seen_in_json
from schedules_app.firing_rules import Misfire, Overlap
from schedules_app.models import BlackoutCalendar
from schedules_app.new_schedules import MAX_DESCRIPTION, MAX_JITTER_SECONDS, NewSchedule
from schedules_app.recurrence import DstFold, DstGap
from schedules_app.zones import UnknownZone, zone
from tasks_app.admin import new_task
from tasks_app.admin.new_task import TaskForm
from tasks_app.fields import Asked, NewTask

#: Fields of the JSON API, by the names they have in this form.
_FIELDS: Final = {
    "name": "name",
    "description": "description",
    "enabled": "enabled",
    "cron": "cron",
    "intervalSeconds": "interval_seconds",
    "rrule": "rrule",
    "timezone": "timezone",
    "startAt": "start_at",
    "endAt": "end_at",
    "jitterSeconds": "jitter_seconds",
    "misfire.policy": "misfire_policy",
    "misfire.maxRuns": "misfire_max_runs",
    "misfire.graceSeconds": "misfire_grace_seconds",
    "overlap": "overlap",
    "dst.gap": "dst_gap",
    "dst.fold": "dst_fold",
    "calendars": "calendars",
    "callback": "callback",
}
_KINDS: Final = ("cron", "interval_seconds", "rrule")
#: What a slot may make.
TASK: Final = "task"
BATCH: Final = "batch"
#: More calendars than this are not offered in the form; the API takes any.
_MOST_CALENDARS: Final = 200


@cache
def zone_names() -> list[str]:
    """What the fields for a time zone offer."""
    return sorted(name for name in available_timezones() if "/" in name or name == "UTC")


class WhenForm(forms.Form):
    """The times of a schedule. One of three kinds of recurrence; what the others hold is ignored."""

    repeat = forms.ChoiceField(
        label="Repeats by",
        choices=[("cron", "a cron expression"), ("interval_seconds", "an interval"), ("rrule", "an RRULE")],
    )
    cron = forms.CharField(
        label="Cron expression",
        required=False,
        help_text="minute hour day month weekday, names and @daily too; six fields begin with seconds.",
        widget=forms.TextInput(attrs={"placeholder": "30 2 * * mon-fri", "spellcheck": "false"}),
    )
    interval_seconds = forms.IntegerField(
        label="Every so many seconds",
        required=False,
        help_text="Elapsed time from the start (or the creation) on: 3600 is hourly, whatever the clock does.",
    )
    rrule = forms.CharField(
        label="RRULE",
        required=False,
        help_text="RFC 5545, without DTSTART: it begins at the start, or the creation.",
        widget=forms.TextInput(attrs={"placeholder": "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18", "spellcheck": "false"}),
    )
    timezone = forms.CharField(
        label="Time zone",
        initial="UTC",
        help_text="An IANA name: whose clock the times are on.",
        widget=forms.TextInput(attrs={"list": "zones", "spellcheck": "false"}),
    )
    jitter_seconds = forms.IntegerField(
        label="Jitter (seconds)",
        initial=0,
        min_value=0,
        max_value=MAX_JITTER_SECONDS,
        help_text="Each fire waits a part of this, always the same, so that not all start at once.",
    )
    start_at = UtcInstant(label="Start (UTC)", required=False, help_text="Empty: at once.")
    end_at = UtcInstant(label="End (UTC)", required=False, help_text="Empty: never.")
    dst_gap = forms.ChoiceField(
        label="The clock jumps over a time",
        choices=[(DstGap.RUN_AFTER, "run right after the jump"), (DstGap.SKIP, "skip it")],
    )
    dst_fold = forms.ChoiceField(
        label="The clock shows a time twice",
        choices=[(DstFold.ONCE, "run the first time only"), (DstFold.TWICE, "run both times")],
    )
    calendars = forms.MultipleChoiceField(
        label="Blackout calendars",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="It does not run inside their ranges.",
    )

    def __init__(self, data: Any = None, *, named: Iterable[str] = (), **options: Any) -> None:
        """``named``: calendars the schedule has already, offered in any case."""
        super().__init__(data, **options)
        found = dict(BlackoutCalendar.objects.values_list("name", "on_blackout")[:_MOST_CALENDARS])
        words = {"skip": "skips what falls in", "run_at_end": "runs at its end"}
        offered = found | {name: found.get(name, "") for name in named}
        choice = self.fields["calendars"]
        assert isinstance(choice, forms.MultipleChoiceField)
        choice.choices = [(name, f"{name} ({words[does]})" if does else name) for name, does in offered.items()]

    def clean_timezone(self) -> str:
        name: str = self.cleaned_data["timezone"]
        try:
            zone(name)
        except UnknownZone as error:
            raise forms.ValidationError(str(error)) from None
        return name

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        kind = cleaned.get("repeat")
        if kind in _KINDS and kind not in self.errors and cleaned.get(kind) in (None, ""):
            self.add_error(kind, "This field is required.")
        return cleaned

    def when(self) -> dict[str, Any]:
        """The attributes of a `NewSchedule` a valid form has; of the kinds of recurrence only the chosen one."""
        columns = {name: self.cleaned_data[name] for name in _FIELDS.values() if name in WhenForm.base_fields}
        kind = self.cleaned_data["repeat"]
        chosen = {name: columns[name] if name == kind else None for name in _KINDS}
        return {**columns, **chosen, "calendars": tuple(columns["calendars"])}

    def show_problems(self, problems: dict[str, str]) -> None:
        """Show what the checks found, each at its field."""
        for path, problem in problems.items():
            self.add_error(_FIELDS.get(path), problem)


class ScheduleForm(WhenForm, TaskForm):
    """Everything about a schedule; its task has no times of its own."""

    zones = staticmethod(zone_names)
    name = forms.CharField(max_length=100, help_text="A-Z a-z 0-9 . _ : -")
    description = forms.CharField(
        required=False, max_length=MAX_DESCRIPTION, widget=forms.Textarea(attrs={"rows": 2}), strip=True
    )
    enabled = forms.BooleanField(required=False, initial=True, help_text="Off, its slots are not even counted.")
    misfire_policy = forms.ChoiceField(
        label="Slots that were missed",
        initial=Misfire.RUN_ONCE,
        choices=[
            (Misfire.RUN_ONCE, "run once for all of them"),
            (Misfire.SKIP, "do not run"),
            (Misfire.RUN_ALL, "run each, the newest so many"),
        ],
        help_text="After an outage of all schedulers, for instance.",
    )
    misfire_max_runs = forms.IntegerField(label="So many at most", initial=10, help_text="For the choice “run each”.")
    misfire_grace_seconds = forms.IntegerField(
        label="Grace (seconds)", initial=60, help_text="Decided no later than this, a slot counts as on time."
    )
    overlap = forms.ChoiceField(
        label="If its last task has not ended",
        initial=Overlap.SKIP,
        choices=[
            (Overlap.SKIP, "skip the slot"),
            (Overlap.ALLOW, "run beside it"),
            (Overlap.QUEUE_ONE, "run after it (one waits)"),
            (Overlap.CANCEL_RUNNING, "cancel it and run"),
        ],
    )
    makes = forms.ChoiceField(
        required=False,
        label="Each slot makes",
        initial=TASK,
        choices=[(TASK, "the task below"), (BATCH, "the batch below")],
    )
    batch = JsonText(
        required=False,
        help_text='As for POST /batches: {"name": "etl", "tasks": [{"ref": "a", "type": "DUMMY"}, …]}.',
    )
    callback = JsonText(
        required=False,
        label="Callback",
        help_text='Of its tasks that say nothing of one, as {"endpoint": "on-call", "on": ["failed"]}.',
    )
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(
        self, data: Any = None, *, types: Iterable[str], before: NewSchedule | None = None, version: int = 0
    ) -> None:
        """``before``: the schedule to edit, or to start from, at this version."""
        super().__init__(data, types=types, named=before.calendars if before else ())
        self.before = before
        if before is not None:
            task = before.task
            template = {self.name_of(row): _shown(row, getattr(task, row.column)) for row in self.rows} if task else {}
            self.initial = {**template, **_initial(before), "version": version}

    @property
    def sections(self) -> list[tuple[str, list[forms.BoundField]]]:
        """The fields as they are drawn: title, fields."""
        sections = _SECTIONS | {"Task": [self.name_of(row) for row in self.rows]} | _BEHIND
        return [(title, [self[name] for name in names]) for title, names in sections.items()]

    def clean_description(self) -> str:
        text: str = self.cleaned_data["description"]
        return text.replace("\r\n", "\n")  # how browsers send a line's end

    def clean(self) -> dict[str, Any]:
        """Of task and batch, the one that was not chosen is not looked at."""
        cleaned = super().clean()
        cleaned["callback"] = cleaned.get("callback") or None
        ignored = ["batch"] if cleaned.get("makes") != BATCH else [self.name_of(row) for row in self.rows]
        for name in ignored:
            self.errors.pop(name, None)
        return cleaned

    def new_schedule(self) -> NewSchedule:
        """What a valid form asks for, if it is a new schedule."""
        if self.cleaned_data["makes"] == BATCH:
            return NewSchedule(**self._columns(), batch=self.cleaned_data["batch"])
        return NewSchedule(**self._columns(), task=NewTask(**new_task.asked_for(self)))

    def changed(self, before: NewSchedule) -> NewSchedule:
        """What a valid form makes of a schedule: fields that were not touched stay as they are, also in its task."""
        touched = set(self.changed_data)
        if touched & {"repeat", *_KINDS}:
            touched |= set(_KINDS)
        columns = {name: value for name, value in self._columns().items() if name in touched}
        if self.cleaned_data["makes"] == BATCH:
            batch = self.cleaned_data["batch"] if "batch" in touched or before.batch is None else before.batch
            return replace(before, **columns, task=None, batch=batch)
        asked = NewTask(**new_task.asked_for(self))
        if before.task is None:
            return replace(before, **columns, task=asked, batch=None)
        task = {row.column: getattr(asked, row.column) for row in self.rows if self.name_of(row) in touched}
        return replace(before, **columns, task=replace(before.task, **task))

    def show_problems(self, problems: dict[str, str]) -> None:
        """Those of a template, and of a callback, at the field whose text it is."""
        for path, problem in problems.items():
            field, _, below = path.partition(".")
            if field == "task" and below:
                new_task.show_problems(self, {below: problem})
            elif field in ("batch", "callback"):
                self.add_error(field, f"{below}: {problem}" if below else problem)
            else:
                super().show_problems({path: problem})

    def _columns(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in _FIELDS.values()} | self.when()


_SECTIONS: Final = {
    "Schedule": ["name", "enabled", "description", "makes"],
    "When": ["repeat", *_KINDS, "timezone", "jitter_seconds", "start_at", "end_at"],
    "What if": [
        *("misfire_policy", "misfire_max_runs", "misfire_grace_seconds", "overlap", "dst_gap", "dst_fold", "calendars"),
    ],
}
_BEHIND: Final = {"Batch": ["batch"], "Who is told": ["callback"]}


def _shown(row: Asked, value: Any) -> Any:
    """A field of the task as a form begins with it."""
    return value if value is None or not row.kind.document else _as_text(value)


def _as_text(value: Any) -> str:
    return seen_in_json(json.dumps(value, indent=2, ensure_ascii=False))


def _initial(before: NewSchedule) -> dict[str, Any]:
    plain = {name: getattr(before, name) for name in _FIELDS.values()}
    kind = next((name for name in _KINDS if plain[name] is not None), "cron")
    times = {name: form_fields.field_text(getattr(before, name)) for name in ("start_at", "end_at")}
    made = {"makes": TASK} if before.batch is None else {"makes": BATCH, "batch": _as_text(before.batch)}
    plain["callback"] = before.callback and _as_text(before.callback)
    return {**plain, **times, **made, "repeat": kind, "calendars": list(before.calendars)}
