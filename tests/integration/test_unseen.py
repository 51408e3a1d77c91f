"""Characters that cannot be seen, or turn text round, are shown on every page; fields of forms keep what is stored."""

from __future__ import annotations

import re

import pytest
from django.apps import apps
from django.db.models import CharField, JSONField, TextField
from django.test import Client

from access_app.texts import UNSEEN
from schedules_app.models import Schedule
from tests.factories import make_execution, make_task
from tests.support.forms import send_untouched
from tests.support.pages import admin_addresses, make_everything, make_schedules

pytestmark = pytest.mark.django_db

#: The name of a file that reads "invoice cod.exe" once its direction is turned.
TURNED = "invoice \u202eexe.doc\u2066 \x1b[31m\x07 \u200bsplit\U000e0041"
FIELDS = re.compile(r'<textarea\b.*?</textarea>|\bvalue="[^"]*"', re.DOTALL)


def test_no_page_has_one(staff: Client) -> None:
    make_everything("plain")
    make_schedules("plain")
    make_everything_turned()
    shown = 0
    for name, url in admin_addresses().items():
        html = b"".join(staff.get(url)).decode()  # a file that is taken along comes in pieces
        if html.lstrip().startswith("<"):
            assert not UNSEEN.search(FIELDS.sub("", html)), name
            shown += "⟨U+202E⟩" in html
    assert shown > 15


def make_everything_turned() -> None:
    """Every text column of ours, as if it had been stored before anything refused such text."""
    for model in apps.get_models():
        if model._meta.app_label in ("auth", "tasks_app", "access_app", "flow_app", "workers_app", "schedules_app"):
            for row in model._default_manager.all():
                for field in model._meta.concrete_fields:
                    value = getattr(row, field.attname)
                    if field.primary_key or field.unique or field.choices or value in (None, ""):
                        continue
                    if isinstance(field, JSONField) and isinstance(value, dict) and field.name in FREE:
                        model._default_manager.filter(pk=row.pk).update(**{field.name: {**value, TURNED: TURNED}})
                    elif isinstance(field, (TextField, CharField)) and field.name in FREE:
                        model._default_manager.filter(pk=row.pk).update(**{field.name: TURNED})
    make_task(type="SHELL", payload={"command": TURNED, "argv": [TURNED]})


#: Columns whose text people or programs choose.
FREE = {
    *("payload", "result", "late", "detail", "reason", "actor", "created_by", "pause_reason", "paused_by", "host"),
    *("name", "first_name", "last_name", "description", "note", "error", "labels", "concurrency_key", "version"),
}


def test_what_is_stored_stays_what_it_is_when_a_form_is_saved(staff: Client) -> None:
    make_schedules("plain")
    task = {"type": "HTTP", "payload": {"url": "http://x/", "body": TURNED}}
    Schedule.objects.update(description="first \u200bsecond", task=task)
    row = Schedule.objects.values().get(name="nightly")
    response = send_untouched(staff, f"/admin/schedules_app/schedule/{row['id']}/edit/")
    assert response.status_code == 302, response.context["form"].errors
    after = Schedule.objects.values().get(name="nightly")
    assert (after["task"], after["description"]) == (row["task"], row["description"])


def test_a_payload_in_a_field_shows_them_as_json_does(staff: Client) -> None:
    make_schedules("plain")
    Schedule.objects.update(task={"type": "DUMMY", "payload": {"x": TURNED}})
    html = staff.get(f"/admin/schedules_app/schedule/{Schedule.objects.get(name='nightly').pk}/edit/").content.decode()
    [payload] = re.findall(r'<textarea[^>]*name="payload".*?</textarea>', html, re.DOTALL)
    assert "\\u202eexe.doc\\u2066" in payload
    assert not UNSEEN.search(payload)


def test_output_keeps_its_lines_and_loses_its_colours(staff: Client) -> None:
    task = make_task(status="FAILED", attempt=1)
    make_execution(task, result={"stdout": "a\x1b[31mred\x1b[0m\tb\r\nc\x07\u202ed"})
    html = staff.get(f"/admin/tasks_app/task/{task.pk}/change/").content.decode()
    assert "ared\tb\nc" in html
    assert "c⟨U+0007⟩⟨U+202E⟩d" in html


def test_very_many_of_them_do_not_make_a_page_many_times_as_large(staff: Client) -> None:
    task = make_task(status="FAILED", attempt=1)
    make_execution(task, result={"stdout": "\u202e\u2066" * 10_000})
    html = staff.get(f"/admin/tasks_app/task/{task.pk}/change/").content.decode()
    assert "⟨U+202E⟩⟨U+2066⟩⟨and 19,992 more⟩" in html
    assert len(html) < 100_000


def test_ordinary_writing_is_left_alone() -> None:
    for text in ("Größe ✓ 日本語", "שלום עולם", "می‌خواهم", "👩‍👩‍👧", "a\tb\nc\r\n", "naïve", "١٢٣", "\u00a0"):
        assert not UNSEEN.search(text), text
