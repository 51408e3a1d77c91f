"""What staff may do to schedules and calendars: only what permission allows, audited, and reported."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.test import Client

from access_app.models import AuditEvent
from schedules_app import services
from schedules_app.firing_rules import FireState
from schedules_app.models import BlackoutCalendar, Schedule, ScheduleFire
from tasks_app.models import Task
from tests.support.people import said, sign_in
from tests.support.schedules import MINUTE, ledger, make_calendar, make_schedule, tasks_of, whole_now

pytestmark = pytest.mark.django_db

SCHEDULES = "/admin/schedules_app/schedule/"
CALENDARS = "/admin/schedules_app/blackoutcalendar/"
SHELL = {"type": "SHELL", "payload": {"command": "true"}}
WORDS = ("pause", "resume", "enable", "trigger", "backfill", "clone", "delete", "preview")
#: A new schedule as the form sends it.
NEW: dict[str, Any] = {
    "name": "nightly", "enabled": "on", "description": "", "repeat": "cron", "cron": "30 2 * * *",
    "interval_seconds": "", "rrule": "", "timezone": "Europe/Berlin", "jitter_seconds": "0", "start_at": "",
    "end_at": "", "misfire_policy": "run_once", "misfire_max_runs": "10", "misfire_grace_seconds": "60",
    "overlap": "skip", "dst_gap": "run_after", "dst_fold": "once", "type": "DUMMY", "queue": "default",
    "payload": "{}", "priority": "0", "max_retries": "", "timeout_ms": "1000", "slots": "1", "concurrency_key": "",
    "correlation_id": "", "on_worker_lost": "retry",
}  # fmt: skip


def press(client: Client, schedule: Schedule, word: str, **data: str) -> Any:
    return client.post(f"{SCHEDULES}{schedule.pk}/{word}/", data)


def audited() -> list[tuple[str, str, str, str]]:
    return list(AuditEvent.objects.order_by("id").values_list("actor", "action", "target", "reason"))


def now_of(schedule: Schedule) -> Schedule:
    return Schedule.objects.get(pk=schedule.pk)


def form_of(client: Client, schedule: Schedule) -> dict[str, Any]:
    """What a browser would send of the form of an edit if nothing was touched."""
    form = client.get(f"{SCHEDULES}{schedule.pk}/edit/").context["form"]
    data: dict[str, Any] = {}
    for field in form:
        value = field.value()
        if isinstance(value, bool):
            data |= {field.html_name: "on"} if value else {}
        else:
            data[field.html_name] = "" if value is None else value
    return data


def edit(client: Client, schedule: Schedule, **changes: Any) -> Any:
    data = {**form_of(client, schedule), **changes}
    return client.post(f"{SCHEDULES}{schedule.pk}/edit/", {name: v for name, v in data.items() if v is not None})


class TestPause:
    def test_keeps_who_and_why(self, staff: Client) -> None:
        schedule = make_schedule(name="a", due=0)
        response = press(staff, schedule, "pause", reason="moving house")
        assert response["Location"] == f"{SCHEDULES}{schedule.pk}/change/"
        assert "1 schedule paused: a." in said(response)
        paused = now_of(schedule)
        assert (paused.paused, paused.paused_by, paused.pause_reason) == (True, "user:maria", "moving house")
        assert audited() == [("user:maria", "schedule.paused", "schedule:a", "moving house")]

    def test_and_resume_work_on_many(self, staff: Client) -> None:
        schedules = [make_schedule(name=name, due=0) for name in "abc"]
        press(staff, schedules[0], "pause")
        chosen = {"_selected_action": [str(each.pk) for each in schedules], "index": "0"}
        assert "2 schedules paused: b, c. 1 already was." in said(
            staff.post(SCHEDULES, {**chosen, "action": "pause_selected"})
        )
        assert "3 schedules resumed: a, b, c." in said(staff.post(SCHEDULES, {**chosen, "action": "resume_selected"}))
        assert not any(now_of(each).paused for each in schedules)

    def test_ends_with_resume(self, staff: Client) -> None:
        schedule = make_schedule(due=0, paused_at=whole_now(), paused_by="user:ada")
        assert "1 schedule resumed" in said(press(staff, schedule, "resume"))
        assert not now_of(schedule).paused


class TestTrigger:
    def test_makes_a_task_now_and_only_one_for_two_clicks(self, staff: Client) -> None:
        schedule = make_schedule(name="a", due=0)
        once = staff.get(f"{SCHEDULES}{schedule.pk}/change/").context["trigger_once"]
        first, second = (press(staff, schedule, "trigger", once=once) for _ in range(2))
        [task] = tasks_of(schedule)
        assert f"{task.pk}" in said(first)
        assert "by the first click already" in said(second)
        assert (task.created_by, ledger(schedule)[0].note) == ("user:maria", "triggered by user:maria")
        again = staff.get(f"{SCHEDULES}{schedule.pk}/change/").context["trigger_once"]
        press(staff, schedule, "trigger", once=again)
        assert len(tasks_of(schedule)) == 2

    def test_tells_when_the_template_is_not_taken_any_more(self, staff: Client) -> None:
        schedule = make_schedule(due=0, task={"type": "GONE", "payload": {}})
        assert "Nothing was done: task.type" in said(press(staff, schedule, "trigger"))
        assert not tasks_of(schedule)


class TestBackfill:
    def window(self, schedule: Schedule, **changes: str) -> dict[str, str]:
        since, until = schedule.last_slot - timedelta(minutes=10), schedule.last_slot
        return {"since": f"{since:%Y-%m-%dT%H:%M:%S}", "until": f"{until:%Y-%m-%dT%H:%M:%S}", "limit": "100",
                "priority": "-7", **changes}  # fmt: skip

    def missed(self) -> Schedule:
        """Three missed slots, each a minute apart, and nothing that is due."""
        schedule = make_schedule(due=0, late=timedelta(seconds=9))  # "now" is when the test's transaction began
        for n in range(3):
            slot = schedule.last_slot - MINUTE * n
            ScheduleFire.objects.create(schedule_id=schedule.pk, slot=slot, due_at=slot, state=FireState.MISSED)
        return schedule

    def test_runs_what_did_not_run(self, staff: Client) -> None:
        schedule = self.missed()
        response = press(staff, schedule, "backfill", **self.window(schedule))
        assert "3 tasks were made for slots from" in said(response)
        assert [task.priority for task in tasks_of(schedule)] == [-7] * 3
        assert [fire.state for fire in ledger(schedule)] == ["LATE"] * 3
        assert "Nothing to do" in said(press(staff, schedule, "backfill", **self.window(schedule)))

    def test_says_that_there_is_more(self, staff: Client) -> None:
        schedule = self.missed()
        text = said(press(staff, schedule, "backfill", **self.window(schedule, limit="2")))
        assert "2 tasks were made" in text
        assert "backfill again" in text

    @pytest.mark.parametrize(
        ("changes", "field", "text"),
        [
            ({"limit": "0"}, "limit", "from 1 to 1000"),
            ({"limit": "x"}, "limit", "whole number"),
            ({"until": "2020-01-01T00:00:00"}, "until", "must not lie before from"),
            ({"since": "yesterday"}, "since", "not a date"),
            ({"priority": "101"}, "priority", "less than or equal to 100"),
        ],
    )
    def test_shows_what_is_wrong_at_its_field(
        self, staff: Client, changes: dict[str, str], field: str, text: str
    ) -> None:
        schedule = self.missed()
        response = press(staff, schedule, "backfill", **self.window(schedule, **changes))
        assert response.status_code == 422
        assert text in str(response.context["backfill_form"].errors[field])
        assert not tasks_of(schedule)

    def test_offers_the_last_day(self, staff: Client) -> None:
        schedule = self.missed()
        form = staff.get(f"{SCHEDULES}{schedule.pk}/change/").context["backfill_form"]
        assert form["until"].value() == f"{schedule.last_slot:%Y-%m-%dT%H:%M:%S}"


class TestClone:
    def test_leads_to_a_copy_that_is_off(self, staff: Client) -> None:
        schedule = make_schedule(name="a", due=0)
        response = press(staff, schedule, "clone", name="b")
        copy = Schedule.objects.get(name="b")
        assert response["Location"] == f"{SCHEDULES}{copy.pk}/change/"
        assert (copy.enabled, copy.next_slot, copy.interval_seconds) == (False, None, 60)
        assert "1 schedule" not in said(press(staff, copy, "enable"))
        assert now_of(copy).next_slot is not None

    @pytest.mark.parametrize(
        ("name", "text"), [("a", "another schedule has this name"), ("no spaces", "name: must be")]
    )
    def test_tells_what_is_wrong_with_the_name(self, staff: Client, name: str, text: str) -> None:
        schedule = make_schedule(name="a", due=0)
        assert text in said(press(staff, schedule, "clone", name=name))
        assert Schedule.objects.count() == 1


class TestDelete:
    def test_keeps_the_history(self, staff: Client) -> None:
        schedule = make_schedule(name="a", due=0)
        press(staff, schedule, "trigger")
        response = press(staff, schedule, "delete", version=str(schedule.version), reason="moved away")
        assert response["Location"] == SCHEDULES
        assert f"schedulefire/?schedule={schedule.pk}" in said(response)
        assert not Schedule.objects.exists()
        assert (len(ledger(schedule)), len(tasks_of(schedule))) == (1, 1)
        assert audited()[-1] == ("user:maria", "schedule.deleted", "schedule:a", "moved away")

    @pytest.mark.parametrize("version", ["7", "", "x"])
    def test_leaves_alone_what_was_changed_meanwhile(self, staff: Client, version: str) -> None:
        schedule = make_schedule(due=0)
        assert "has changed since you looked" in said(press(staff, schedule, "delete", version=version))
        assert Schedule.objects.exists()


class TestPermissions:
    @pytest.mark.parametrize("word", WORDS)
    def test_view_alone_changes_nothing(self, client: Client, word: str) -> None:
        schedule = make_schedule(due=0, paused_at=whole_now() if word == "resume" else None)
        sign_in(client, "view_schedule")
        assert press(client, schedule, word, name="b", version="1").status_code == 403
        assert client.get(f"{SCHEDULES}{schedule.pk}/change/").context["offered"] == set()
        assert client.get(f"{SCHEDULES}{schedule.pk}/edit/").status_code == 403
        assert client.post(f"{SCHEDULES}{schedule.pk}/edit/", NEW).status_code == 403
        assert client.post(f"{SCHEDULES}add/", NEW).status_code == 403
        assert client.post(f"{SCHEDULES}preview/", NEW).status_code == 403
        chosen = {"action": f"{word}_selected", "index": "0", "_selected_action": str(schedule.pk)}
        client.post(SCHEDULES, chosen)
        assert now_of(schedule) == schedule
        assert now_of(schedule).version == schedule.version
        assert not AuditEvent.objects.exists()
        assert Schedule.objects.count() == 1

    @pytest.mark.parametrize(
        ("permission", "offered"),
        [
            ("change_schedule", {"edit", "pause", "trigger", "backfill"}),
            ("add_schedule", {"clone"}),
            ("delete_schedule", {"delete"}),
        ],
    )
    def test_each_opens_what_it_is_for(self, client: Client, permission: str, offered: set[str]) -> None:
        schedule = make_schedule(due=0)
        sign_in(client, "view_schedule", permission)
        assert client.get(f"{SCHEDULES}{schedule.pk}/change/").context["offered"] == offered
        for word in set(WORDS) - offered - {"preview", "resume", "enable"}:
            assert press(client, schedule, word, name="b", version="1").status_code == 403, word

    @pytest.mark.parametrize("word", [*WORDS, "edit"])
    def test_nothing_happens_on_get_or_without_a_csrf_token(self, word: str) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(User.objects.create_superuser("maria"))
        schedule = make_schedule(due=0)
        if word != "edit":
            assert client.get(f"{SCHEDULES}{schedule.pk}/{word}/")["Location"] == "../change/"
        assert press(client, schedule, word, version="1", name="b").status_code == 403
        assert client.post(f"{SCHEDULES}preview/", NEW).status_code == 403
        assert client.post(f"{SCHEDULES}add/", NEW).status_code == 403
        assert now_of(schedule).version == schedule.version
        assert not AuditEvent.objects.exists()

    def test_shell_templates_are_for_superusers_only(self, client: Client) -> None:
        shell = make_schedule(due=0, task=SHELL)
        dummy = make_schedule(name="dummy", due=0)
        off = make_schedule(enabled=False, next_slot=None, next_fire_at=None, task=SHELL)
        sign_in(client, "view_schedule", "add_schedule", "change_schedule", "delete_schedule")
        offered = client.get(f"{SCHEDULES}{shell.pk}/change/").context["offered"]
        assert offered == {"pause", "delete"}
        for word in ("trigger", "backfill", "clone"):
            assert "superuser" in said(press(client, shell, word, name="b"))
        assert "superuser" in said(press(client, off, "enable"))
        assert "superuser" in said(client.get(f"{SCHEDULES}{shell.pk}/edit/"))
        assert "superuser" in said(client.post(f"{SCHEDULES}{shell.pk}/edit/", {**NEW, "version": "1"}))
        run = {"type": "SHELL", "payload": '{"command": "true"}'}
        assert client.post(f"{SCHEDULES}add/", {**NEW, **run}).status_code == 422
        assert edit(client, dummy, **run).status_code == 422
        assert now_of(dummy).task["type"] == "DUMMY"
        assert (now_of(shell).version, now_of(off).enabled) == (1, False)
        assert not Task.objects.exists()
        assert Schedule.objects.count() == 3


class TestNew:
    def test_creates_what_was_asked_for(self, staff: Client) -> None:
        make_calendar("freeze", {"dates": "12-24"})
        data = {
            **NEW, "description": "two\r\nlines", "jitter_seconds": "30", "calendars": ["freeze"],
            "overlap": "queue_one", "start_at": "2030-01-01T00:00", "payload": '{"sleepDurationMs": 5}',
            "priority": "7", "max_retries": "0",
        }  # fmt: skip
        response = staff.post(f"{SCHEDULES}add/", data)
        made = Schedule.objects.get()
        assert response["Location"] == f"{SCHEDULES}{made.pk}/change/"
        assert (made.name, made.cron, made.interval_seconds, made.timezone) == (
            "nightly", "30 2 * * *", None, "Europe/Berlin",
        )  # fmt: skip
        assert (made.description, made.jitter_seconds, made.calendars, made.overlap) == (
            "two\nlines", 30, ["freeze"], "queue_one",
        )  # fmt: skip
        assert made.start_at == datetime(2030, 1, 1, tzinfo=UTC)
        assert made.task["payload"] == {"sleepDurationMs": 5}
        assert (made.task["priority"], made.task["maxRetries"], made.task["timeoutMs"]) == (7, 0, 1000)
        assert (made.created_by, made.enabled, made.next_slot is not None) == ("user:maria", True, True)
        assert audited() == [("user:maria", "schedule.created", "schedule:nightly", "")]

    @pytest.mark.parametrize(
        ("repeat", "field", "value"), [("interval_seconds", "interval_seconds", 90), ("rrule", "rrule", "FREQ=DAILY")]
    )
    def test_takes_only_the_chosen_kind(self, staff: Client, repeat: str, field: str, value: Any) -> None:
        staff.post(f"{SCHEDULES}add/", {**NEW, "repeat": repeat, field: str(value), "cron": "nonsense"})
        made = Schedule.objects.get()
        assert (made.cron, getattr(made, field)) == (None, value)

    @pytest.mark.parametrize(
        ("fields", "field", "text"),
        [
            ({"name": "no spaces"}, "name", "must be 1 to 100 characters"),
            ({"name": "taken"}, "name", "Another schedule has this name."),
            ({"cron": ""}, "cron", "required"),
            ({"cron": "*/0 * * * *"}, "cron", ""),
            ({"cron": "0 0 30 2 *"}, "cron", "February has no 30th"),
            ({"cron": ",".join(["0-59"] * 1000) + " * * * *"}, "cron", ""),
            ({"cron": "a\0b"}, "cron", "Null characters"),
            ({"repeat": "interval_seconds", "interval_seconds": "0"}, "interval_seconds", "must be"),
            ({"repeat": "interval_seconds", "interval_seconds": "9" * 30}, "interval_seconds", "must be"),
            ({"repeat": "rrule", "rrule": "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30"}, "rrule", "never fires"),
            ({"repeat": "moon"}, "repeat", "not one of the available"),
            ({"timezone": "Mars/Olympus"}, "timezone", "not an IANA time zone"),
            ({"start_at": "2030-01-02T00:00", "end_at": "2030-01-01T00:00"}, "end_at", "must not lie before startAt"),
            ({"start_at": "soon"}, "start_at", "not a date"),
            ({"jitter_seconds": "4000"}, "jitter_seconds", "3600"),
            ({"misfire_max_runs": "0"}, "misfire_max_runs", "from 1 to 100"),
            ({"misfire_grace_seconds": "-1"}, "misfire_grace_seconds", "from 0 to"),
            ({"misfire_policy": "x"}, "misfire_policy", "not one of the available"),
            ({"calendars": ["none"]}, "calendars", "not one of the available"),
            ({"description": "bell \x07"}, "description", "control character"),
            ({"payload": "{"}, "payload", "not JSON"),
            ({"payload": '{"sleepDurationMs": -1}'}, "payload", "sleepDurationMs: must be"),
            ({"type": "NOPE"}, "type", "not one of the available"),
            ({"queue": "no spaces"}, "queue", "must be 1 to 100 characters"),
            ({"timeout_ms": "0"}, "timeout_ms", "must be a whole number"),
        ],
    )
    def test_shows_what_is_wrong_at_its_field(
        self, staff: Client, fields: dict[str, Any], field: str, text: str
    ) -> None:
        make_schedule(name="taken", due=0)
        response = staff.post(f"{SCHEDULES}add/", {**NEW, **fields})
        assert response.status_code == 422
        assert set(response.context["form"].errors) == {field}
        assert text in str(response.context["form"].errors[field])
        assert 'class="ts-problem"' in response.content.decode()
        assert Schedule.objects.count() == 1


class TestEdit:
    def test_that_touches_nothing_changes_nothing(self, staff: Client) -> None:
        """Not even what the form cannot show: fractions of a second, and the retry policy of the task."""
        schedule = make_schedule(
            due=0, cron="5 4 * * *", start_at=datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC), description="a\nb",
            task={"type": "DUMMY", "payload": {"sleepDurationMs": 1}, "retry": {"backoff": "fixed"}, "maxRetries": 2},
        )  # fmt: skip
        before = services.definition_of(schedule)
        response = edit(staff, schedule)
        assert response.status_code == 302, response.context["form"].errors
        assert services.definition_of(now_of(schedule)) == before
        assert now_of(schedule).version == schedule.version

    def test_changes_what_was_touched(self, staff: Client) -> None:
        schedule = make_schedule(name="a", due=0, task={"type": "DUMMY", "payload": {}, "retry": {"backoff": "fixed"}})
        before = services.definition_of(schedule)
        response = edit(
            staff, schedule, name="b", repeat="cron", cron="@daily", enabled=None, payload='{"sleepDurationMs": 9}'
        )
        assert response["Location"] == f"{SCHEDULES}{schedule.pk}/change/"
        task = replace(before.task, payload={"sleepDurationMs": 9})
        expected = replace(before, name="b", cron="@daily", interval_seconds=None, enabled=False, task=task)
        assert services.definition_of(now_of(schedule)) == expected
        assert audited()[-1][:2] == ("user:maria", "schedule.edited")

    def test_from_a_stale_form_is_refused_and_says_so(self, staff: Client) -> None:
        schedule = make_schedule(name="a", due=0)
        mine = form_of(staff, schedule)
        services.edit_schedule(schedule.pk, lambda before: replace(before, description="theirs"), actor="user:ada")
        response = staff.post(f"{SCHEDULES}{schedule.pk}/edit/", {**mine, "description": "mine"})
        assert response.status_code == 422
        [text] = response.context["form"].non_field_errors()
        assert "Somebody changed this schedule while you were editing it: it is at version 2 now" in text
        assert "mine" in response.content.decode()
        again = staff.post(f"{SCHEDULES}{schedule.pk}/edit/", {**mine, "description": "mine"})
        assert again.status_code == 422  # what it shows again still carries the old version
        assert response.context["form"]["version"].value() == "1"
        assert now_of(schedule).description == "theirs"

    @pytest.mark.parametrize("version", [None, "", "x", "0", "99"])
    def test_needs_the_version_it_started_from(self, staff: Client, version: str | None) -> None:
        schedule = make_schedule(due=0)
        assert edit(staff, schedule, description="mine", version=version).status_code == 422
        assert now_of(schedule).description == ""

    def test_shows_what_is_wrong_at_its_field(self, staff: Client) -> None:
        schedule = make_schedule(due=0)
        response = edit(staff, schedule, repeat="cron", cron="61 * * * *")
        assert response.status_code == 422
        assert set(response.context["form"].errors) == {"cron"}

    def test_of_one_that_is_gone_leads_away(self, staff: Client) -> None:
        schedule = make_schedule(due=0)
        Schedule.objects.filter(pk=schedule.pk).delete()
        assert staff.get(f"{SCHEDULES}{schedule.pk}/edit/").status_code == 302


class TestPreview:
    def ask(self, client: Client, **fields: Any) -> Any:
        response = client.post(f"{SCHEDULES}preview/", {**NEW, **fields})
        assert response.status_code == 200
        assert response["Content-Type"] == "application/json"
        return json.loads(response.content)

    def test_tells_the_next_ten_fires_in_words_and_on_the_clock_of_the_zone(self, staff: Client) -> None:
        answer = self.ask(staff, cron="30 12 * * *")
        assert len(answer["fires"]) == 10
        assert all(" 12:30:00 +0" in fire["local"] and fire["utc"].endswith(" UTC") for fire in answer["fires"])
        assert "12:30" in answer["explanation"]
        assert (answer["problems"], answer["changes"]) == ({}, [])

    @pytest.mark.parametrize(
        ("gap", "fold", "words"),
        [
            ("run_after", "once", {"02:30:00: runs right after the jump", "02:30:00 twice: runs the first time"}),
            ("skip", "twice", {"02:30:00: skipped", "02:30:00 twice: runs both times"}),
        ],
    )
    def test_tells_what_the_clock_changes_do(self, staff: Client, gap: str, fold: str, words: set[str]) -> None:
        changes = self.ask(staff, cron="30 2 * * *", dst_gap=gap, dst_fold=fold)["changes"]
        assert {word for word in words if any(word in change["note"] for change in changes)} == words

    def test_tells_blackouts(self, staff: Client) -> None:
        make_calendar("always", {"from": "2020-01-01T00:00:00Z", "to": "2990-01-01T00:00:00Z"})
        answer = self.ask(staff, calendars=["always"])
        assert all("in blackout always: skipped" in fire["note"] for fire in answer["fires"])

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"cron": "61 * * * *"}, "cron"),
            ({"cron": "0 0 30 2 *"}, "cron"),
            ({"cron": ""}, "cron"),
            ({"repeat": "interval_seconds", "interval_seconds": "x"}, "interval_seconds"),
            ({"repeat": "rrule", "rrule": "FREQ=SOMETIMES"}, "rrule"),
            ({"timezone": "Mars/Olympus"}, "timezone"),
            ({"start_at": "2030-01-02T00:00", "end_at": "2030-01-01T00:00"}, "end_at"),
            ({"calendars": ["none"]}, "calendars"),
            ({"jitter_seconds": "-1"}, "jitter_seconds"),
        ],
    )
    def test_tells_problems_by_field(self, staff: Client, fields: dict[str, Any], field: str) -> None:
        answer = self.ask(staff, **fields)
        assert set(answer["problems"]) == {field}
        assert answer["fires"] == []

    def test_of_an_edit_counts_from_where_the_schedule_does(self, staff: Client) -> None:
        anchor = whole_now() - timedelta(hours=1, minutes=17)
        schedule = make_schedule(every=timedelta(hours=5), due=0, anchor_at=anchor)
        data = {**NEW, "repeat": "interval_seconds", "interval_seconds": "18000"}
        answer = json.loads(staff.post(f"{SCHEDULES}{schedule.pk}/preview/", data).content)
        slot = datetime.strptime(answer["fires"][0]["utc"], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
        assert slot == anchor + timedelta(hours=5)

    def test_of_one_whose_last_time_has_passed_finds_nothing_wrong(self, staff: Client) -> None:
        past: dict[str, Any] = {
            "rrule": "FREQ=DAILY;COUNT=1",
            "start_at": datetime(2026, 1, 1, tzinfo=UTC),
            "next_fire_at": None,
        }
        schedule = make_schedule(**past, next_slot=None)
        data = {
            **NEW,
            "repeat": "rrule",
            "rrule": "FREQ=DAILY;COUNT=1",
            "timezone": "UTC",
            "start_at": "2026-01-01T00:00",
        }
        answer = json.loads(staff.post(f"{SCHEDULES}{schedule.pk}/preview/", data).content)
        assert (answer["problems"], answer["fires"]) == ({}, [])

    def test_changes_nothing(self, staff: Client) -> None:
        self.ask(staff)
        assert not Schedule.objects.exists()
        assert not AuditEvent.objects.exists()


class TestCalendars:
    data = {"name": "freeze", "description": "", "timezone": "UTC", "on_blackout": "skip",
            "ranges": '[{"dates": "12-24/12-26"}]'}  # fmt: skip

    def test_are_created_edited_and_deleted(self, staff: Client) -> None:
        page = f"{CALENDARS}{quote('freeze')}"
        assert staff.post(f"{CALENDARS}add/", self.data)["Location"] == f"{page}/change/"
        changed = {**self.data, "ranges": '[{"dates": "01-01"}]', "version": "1"}
        assert staff.post(f"{page}/edit/", changed)["Location"] == f"{page}/change/"
        assert BlackoutCalendar.objects.get().ranges == [{"dates": "01-01"}]
        assert "changed since you looked" in said(staff.post(f"{page}/delete/", {"version": "1"}))
        assert staff.post(f"{page}/delete/", {"version": "2"})["Location"] == CALENDARS
        assert not BlackoutCalendar.objects.exists()
        actions = [(actor, action) for actor, action, _, _ in audited()]
        assert actions == [("user:maria", f"calendar.{word}") for word in ("created", "edited", "deleted")]

    @pytest.mark.parametrize(
        ("fields", "field", "text"),
        [
            ({"name": "taken"}, "name", "Another calendar has this name."),
            ({"name": "no spaces"}, "name", "must be 1 to 100"),
            ({"timezone": "Mars"}, "timezone", "not an IANA time zone"),
            ({"on_blackout": "x"}, "on_blackout", "not one of the available"),
            ({"ranges": "["}, "ranges", "not JSON"),
            ({"ranges": "[]"}, "ranges", "must be a list of 1 to 100 ranges"),
            ({"ranges": '[{"dates": "12-24"}, {"dates": "13-40"}]'}, "ranges", "ranges[1].dates has no such month"),
        ],
    )
    def test_show_what_is_wrong_at_its_field(
        self, staff: Client, fields: dict[str, str], field: str, text: str
    ) -> None:
        make_calendar("taken", {"dates": "12-24"})
        response = staff.post(f"{CALENDARS}add/", {**self.data, **fields})
        assert response.status_code == 422
        assert set(response.context["form"].errors) == {field}
        assert text in str(response.context["form"].errors[field])

    def test_refuse_a_stale_edit(self, staff: Client) -> None:
        make_calendar("freeze", {"dates": "12-24"})
        response = staff.post(f"{CALENDARS}freeze/edit/", {**self.data, "version": "7"})
        assert response.status_code == 422
        assert "it is at version 1 now" in str(response.context["form"].non_field_errors())

    def test_that_schedules_name_stay(self, staff: Client) -> None:
        make_calendar("freeze", {"dates": "12-24"})
        make_schedule(name="nightly", due=0, calendars=["freeze"])
        assert "used by nightly" in said(staff.post(f"{CALENDARS}freeze/delete/", {"version": "1"}))
        assert BlackoutCalendar.objects.exists()

    def test_are_not_changed_with_view_permission(self, client: Client) -> None:
        make_calendar("freeze", {"dates": "12-24"})
        sign_in(client, "view_blackoutcalendar")
        for url in (f"{CALENDARS}add/", f"{CALENDARS}freeze/edit/", f"{CALENDARS}freeze/delete/"):
            assert client.post(url, {**self.data, "version": "1"}).status_code == 403, url
        assert not AuditEvent.objects.exists()
