"""The staff UI of schedules shows whatever its rows hold, escapes it, and costs a bounded number of reads."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from access_app.models import AuditEvent
from schedules_app.firing_rules import FireState
from schedules_app.models import BlackoutCalendar, Schedule, ScheduleFire
from tests.factories import make_task
from tests.support.people import READING_FORMS
from tests.support.schedules import MINUTE, make_calendar, make_schedule, whole_now

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_cache")]

SCRIPT = "<script>alert(1)</script>"
TOKEN = "?a=1&access_token=hunter2"
SCHEDULES = "/admin/schedules_app/schedule/"
FIRES = "/admin/schedules_app/schedulefire/"
CALENDARS = "/admin/schedules_app/blackoutcalendar/"
DAY = timedelta(days=1)


def make_fire(schedule: Schedule, slot: datetime, state: FireState = FireState.FIRED, **columns: Any) -> ScheduleFire:
    columns = {"due_at": slot, "decided_at": slot, **columns}
    return ScheduleFire.objects.create(schedule_id=schedule.pk, slot=slot, state=state, **columns)


def make_everything(name: str = "nightly") -> Schedule:
    """A paused schedule with a slot of every state, a task, a calendar, and hostile text wherever there may be some."""
    calendar = f"freeze-{name}"
    make_calendar(calendar, {"weekdays": ["sat", "sun"], "from": "22:00", "to": "06:00"}, {"dates": "12-24/12-26"})
    BlackoutCalendar.objects.filter(pk=calendar).update(description=SCRIPT, created_by=SCRIPT)
    schedule = make_schedule(
        name=name,
        cron="30 2 * * *",
        timezone="Europe/Berlin",
        description=SCRIPT,
        calendars=[calendar],
        created_by=f"user:{SCRIPT}",
        paused_at=whole_now(),
        paused_by=f"user:{SCRIPT}",
        pause_reason=f"{SCRIPT} https://x/{TOKEN}",
        jitter_seconds=30,
        task={"type": "HTTP", "concurrencyKey": SCRIPT, "correlationId": SCRIPT,
              "payload": {"url": f"https://u:hunter2@x/{SCRIPT}{TOKEN}", "headers": {"Authorization": "hunter2"}}},
    )  # fmt: skip
    task = make_task(schedule_id=schedule.pk, scheduled_for=whole_now())
    for n, state in enumerate(FireState):
        ran = state in (FireState.FIRED, FireState.LATE)
        make_fire(schedule, whole_now() - DAY * n, state, note=SCRIPT, task_id=task.pk if ran else None)
    make_fire(schedule, whole_now() - DAY * 20, FireState.MISSED, last_slot=whole_now() - DAY * 10)
    AuditEvent.objects.create(
        actor=f"user:{SCRIPT}", action="schedule.edited", target=f"schedule:{name}",
        reason=f"{SCRIPT} https://x/{TOKEN}",
        detail={"fields": [SCRIPT]},
    )  # fmt: skip
    return schedule


def pages_of(schedule: Schedule) -> list[str]:
    fire = ScheduleFire.objects.filter(schedule_id=schedule.pk).order_by("slot").first()
    assert fire is not None
    calendar = quote(schedule.calendars[0])
    task = make_task(schedule_id=schedule.pk, scheduled_for=fire.slot)
    return [
        SCHEDULES,
        f"{SCHEDULES}?state=paused",
        f"{SCHEDULES}{schedule.pk}/change/",
        f"{SCHEDULES}{schedule.pk}/change/?day={whole_now():%Y-%m-%d}&state=FIRED",
        FIRES,
        f"{FIRES}?schedule={schedule.pk}",
        f"{FIRES}{fire.pk}/change/",
        CALENDARS,
        f"{CALENDARS}{calendar}/change/",
        f"/admin/tasks_app/task/{task.pk}/change/",
    ]


def reads(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200, url
    return len(queries)


class TestPages:
    def test_escape_what_comes_from_outside_and_hide_secrets(self, staff: Client) -> None:
        for url in pages_of(make_everything()):
            response = staff.get(url)
            html = response.content.decode()
            assert response.status_code == 200, url
            assert SCRIPT not in html, url
            assert "hunter2" not in html, url

    def test_can_be_seen_but_not_used_with_view_permissions(self, viewer: Client) -> None:
        for url in pages_of(make_everything()):
            html = viewer.get(url).content.decode()
            assert set(re.findall('<form[^>]*method="post"[^>]*>', html)) <= READING_FORMS, url
            assert "/edit/" not in html, url
            assert "addlink" not in html, url

    def test_refuse_strangers_and_staff_without_permissions(self, client: Client) -> None:
        schedule = make_everything()
        forms = [f"{SCHEDULES}add/", f"{SCHEDULES}{schedule.pk}/edit/", f"{CALENDARS}add/"]
        for url in [*pages_of(schedule), *forms]:
            assert client.get(url)["Location"].startswith("/admin/login/"), url
        client.force_login(User.objects.create_user("nobody", is_staff=True))
        for url in [*pages_of(schedule), *forms]:
            assert client.get(url).status_code == 403, url

    def test_need_as_many_reads_for_many_rows_as_for_few(self, staff: Client) -> None:
        schedule = make_everything()
        few = {url: reads(staff, url) for url in pages_of(schedule)}
        for n in range(30):
            make_everything(f"other-{n}")
            make_fire(schedule, whole_now() - MINUTE * (n + 1))
        for url, count in few.items():
            assert reads(staff, url) <= count, url
            assert count <= 30, url

    def test_survive_odd_addresses(self, staff: Client) -> None:
        schedule = make_everything()
        page = f"{SCHEDULES}{schedule.pk}/change/"
        for query in ("day=x&end=9999-12-31&state=NO&before=now", "end=0001-01-01&day=0001-01-01", "end=1971-01-01",
                      "end=2998-12-31&day=2998-12-31", "before=2026-01-01", "day=%01"):  # fmt: skip
            assert staff.get(f"{page}?{query}").status_code == 200, query
        for query in ("state=NO", "schedule=NO", "state=active&state=paused", "q=%25", "q=%01", "calendar=x"):
            assert staff.get(f"{SCHEDULES}?{query}").status_code in (200, 400), query
            assert staff.get(f"{FIRES}?{query}").status_code in (200, 400), query
        for model in (SCHEDULES, FIRES, CALENDARS):
            for key in ("nonsense", str(uuid4()), "9" * 40, "%00", "_00", "a/b"):
                assert staff.get(f"{model}{key}/change/").status_code in (302, 404), (model, key)


def listed(client: Client, query: str) -> set[str]:
    response = client.get(f"{SCHEDULES}?{query}")
    assert response.status_code == 200, query
    return {row.name for row in response.context["cl"].result_list}


class TestList:
    def test_filters_by_state_calendar_and_name(self, staff: Client) -> None:
        make_calendar("freeze", {"dates": "12-24"})
        active = make_schedule(name="active", due=0, calendars=["freeze"])
        make_schedule(name="paused", due=0, paused_at=whole_now(), paused_by="user:maria")
        make_schedule(name="resumed", due=0, paused_at=whole_now() - DAY, resumed_at=whole_now())
        make_schedule(name="disabled", enabled=False, next_slot=None, next_fire_at=None)
        make_schedule(name="ended", next_slot=None, next_fire_at=None)
        make_schedule(name="overdue", late=MINUTE * 5)
        assert listed(staff, "state=active") == {"active", "resumed", "overdue"}
        assert listed(staff, "state=paused") == {"paused"}
        assert listed(staff, "state=disabled") == {"disabled"}
        assert listed(staff, "state=ended") == {"ended"}
        assert listed(staff, "state=overdue") == {"overdue"}
        assert listed(staff, "calendar=freeze") == {"active"}
        assert listed(staff, "q=SABLE") == {"disabled"}
        assert listed(staff, f"q={active.pk}") == {"active"}

    def test_tells_how_each_schedule_is(self, staff: Client) -> None:
        schedule = make_schedule(name="a", due=0, paused_at=whole_now(), paused_by="user:ada", pause_reason="moving")
        overdue = make_schedule(name="b", late=MINUTE * 5)
        make_fire(schedule, whole_now() - MINUTE, FireState.MISSED, note="too late")
        make_fire(schedule, whole_now() - MINUTE * 2)
        html = staff.get(SCHEDULES).content.decode()
        for text in ("by user:ada: moving", "PAUSED", "OVERDUE", "Every minute of elapsed time", "MISSED: too late"):
            assert text in html, text
        assert 'aria-label="Latest slots, newest first: missed, fired"' in html
        assert f"{SCHEDULES}{overdue.pk}/change/" in html

    def test_counts_nothing(self, staff: Client) -> None:
        make_schedule()
        with CaptureQueriesContext(connection) as queries:
            staff.get(SCHEDULES)
        assert not [query["sql"] for query in queries if "COUNT(" in query["sql"].upper()]

    def test_does_not_read_payloads(self, staff: Client) -> None:
        make_schedule(task={"type": "DUMMY", "payload": {"x": "big"}})
        with CaptureQueriesContext(connection) as queries:
            staff.get(SCHEDULES)
        selects = [query["sql"].split(" FROM ")[0] for query in queries]
        assert not [sql for sql in selects if re.search(r'"schedules"\."task"(?! ->)', sql)]


class TestPage:
    def page(self, client: Client, schedule: Schedule, query: str = "") -> Any:
        return client.get(f"{SCHEDULES}{schedule.pk}/change/?{query}")

    def test_tells_who_paused_it_and_why_it_does_not_run(self, staff: Client) -> None:
        html = self.page(staff, make_schedule(paused_at=whole_now(), paused_by="user:ada", pause_reason="moving"))
        for text in ("Paused by <b>user:ada</b>", "Reason: moving", "PAUSED", "NO_LIVE_SCHEDULER"):
            assert text in html.content.decode(), text

    def test_links_the_task_that_keeps_it_from_running(self, staff: Client) -> None:
        schedule = make_schedule(late=MINUTE)
        task = make_task(schedule_id=schedule.pk)
        html = self.page(staff, schedule).content.decode()
        assert re.search(rf'OVERLAP</span> task <a[^>]*href="/admin/tasks_app/task/{task.pk}/change/"', html)

    def test_shows_next_times_on_the_clock_of_the_zone_with_blackouts_and_clock_changes(self, staff: Client) -> None:
        make_calendar("always", {"from": "2020-01-01T00:00:00Z", "to": "2990-01-01T00:00:00Z"})
        schedule = make_schedule(due=0, cron="30 2 * * *", timezone="Europe/Berlin", calendars=["always"])
        response = self.page(staff, schedule)
        times, changes = response.context["next_times"], response.context["clock_changes"]
        assert len(times) == 10
        assert all("02:30:00 +0" in time.local or "03:00:00 +02:00" in time.local for time in times)
        assert all("in blackout always: skipped" in time.note for time in times)
        assert {change.note for change in changes} == {
            "the clock jumps over 02:30:00: runs right after the jump",
            "the clock shows 02:30:00 twice: runs the first time",
        }
        assert "Europe/Berlin time" in response.context["explanation"]

    def test_colours_days_by_the_most_serious_state_and_says_it_in_words(self, staff: Client) -> None:
        schedule, noon = make_schedule(due=0), whole_now().replace(hour=12, minute=0, second=0)
        for hours, state in ((0, FireState.FIRED), (1, FireState.FIRED), (2, FireState.COALESCED)):
            make_fire(schedule, noon - DAY + timedelta(hours=hours), state)
        make_fire(schedule, noon - DAY * 2, FireState.SKIPPED_PAUSED)
        days = self.days(self.page(staff, schedule))
        yesterday, before = days[(noon - DAY).date()], days[(noon - DAY * 2).date()]
        assert (yesterday.worst, yesterday.number, yesterday.tone) == (FireState.COALESCED, "3", "indigo")
        assert yesterday.words.endswith(": 1 coalesced, 2 fired")
        assert (before.worst, before.words.endswith(": 1 skipped paused")) == (FireState.SKIPPED_PAUSED, True)
        assert days[(noon - DAY * 3).date()].words.endswith(": no slots")
        html = self.page(staff, schedule).content.decode()
        assert f'<span class="ts-hidden">{yesterday.words}</span>' in html

    def test_counts_days_as_the_zone_has_them(self, staff: Client) -> None:
        """23 hours long in Berlin; 23:30 UTC lies in the next day there."""
        schedule = make_schedule(due=0, timezone="Europe/Berlin")
        for slot in ("2026-03-28T22:59:59", "2026-03-28T23:00:00", "2026-03-29T21:59:59", "2026-03-29T22:00:00"):
            make_fire(schedule, datetime.fromisoformat(slot).replace(tzinfo=UTC))
        days = self.days(self.page(staff, schedule, "end=2026-03-31"))
        assert [days[date(2026, 3, day)].number for day in (28, 29, 30)] == ["1", "2", "1"]

    def test_marks_every_day_that_a_run_of_slots_stands_for(self, staff: Client) -> None:
        schedule, noon = make_schedule(due=0), whole_now().replace(hour=12, minute=0, second=0)
        make_fire(schedule, noon - DAY * 60, FireState.MISSED, last_slot=noon - DAY * 2)
        days = self.days(self.page(staff, schedule))
        assert [days[(noon - DAY * n).date()].worst for n in (20, 3, 2)] == [FireState.MISSED] * 3
        assert days[(noon - DAY * 3).date()].words.endswith(": many more missed")
        assert days[(noon - DAY).date()].worst is None

    def test_says_which_days_were_not_counted(self, staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("schedules_app.admin.ledger.MOST_COUNTED", 2)
        schedule, noon = make_schedule(due=0), whole_now().replace(hour=12, minute=0, second=0)
        for n in range(1, 4):
            make_fire(schedule, noon - DAY * n)
        days = self.days(self.page(staff, schedule))
        assert days[(noon - DAY * 3).date()].words.endswith(": not counted: too many slots since")
        assert days[(noon - DAY).date()].words.endswith(": 1 fired")

    def test_narrows_the_table_to_a_day_and_a_state(self, staff: Client) -> None:
        schedule, noon = make_schedule(due=0), whole_now().replace(hour=12, minute=0, second=0)
        for n in (1, 2):
            for hour, state in enumerate((FireState.FIRED, FireState.MISSED)):
                make_fire(schedule, noon - DAY * n + timedelta(hours=hour), state)
        shown = self.page(staff, schedule, f"day={(noon - DAY * 2):%Y-%m-%d}&state=MISSED").context["rows"]
        assert [row.fire.slot for row in shown] == [noon - DAY * 2 + timedelta(hours=1)]

    def test_pages_through_the_ledger_without_a_gap(self, staff: Client) -> None:
        schedule, newest = make_schedule(due=0), whole_now() - MINUTE
        for n in range(120):
            make_fire(schedule, newest - MINUTE * n)
        seen, url = [], f"{SCHEDULES}{schedule.pk}/change/"
        while url:
            context = staff.get(url).context
            seen += [row.fire.slot for row in context["rows"]]
            url = f"{SCHEDULES}{schedule.pk}/change/{context['older']}" if context["older"] else ""
        assert seen == [newest - MINUTE * n for n in range(120)]

    def test_links_tasks_with_their_status(self, staff: Client) -> None:
        schedule = make_schedule(due=0)
        task, gone = make_task(status="SUCCESS", schedule_id=schedule.pk), uuid4()
        make_fire(schedule, whole_now() - MINUTE, task_id=task.pk)
        make_fire(schedule, whole_now() - MINUTE * 2, task_id=gone)
        there, away = self.page(staff, schedule).context["rows"]
        assert str(task.pk) in there.task
        assert "SUCCESS" in there.task_badge
        assert away.task_badge == "deleted since"

    def test_says_what_this_host_cannot_read(self, staff: Client) -> None:
        schedule = make_schedule(due=0)
        Schedule.objects.filter(pk=schedule.pk).update(timezone="Mars/Olympus")
        response = self.page(staff, schedule)
        assert response.status_code == 200
        assert "Mars/Olympus" in response.context["broken"]
        assert staff.get(SCHEDULES).status_code == 200

    def test_of_a_deleted_schedule_leads_to_its_slots(self, staff: Client) -> None:
        schedule = make_schedule(due=0)
        make_fire(schedule, whole_now(), FireState.MISSED)
        Schedule.objects.filter(pk=schedule.pk).delete()
        response = staff.get(f"{SCHEDULES}{schedule.pk}/change/", follow=True)
        assert response.redirect_chain[0][0] == f"{FIRES}?schedule={schedule.pk}"
        html = response.content.decode()
        assert "This schedule was deleted" in html
        assert "MISSED" in html

    @staticmethod
    def days(response: Any) -> dict[date, Any]:
        assert response.status_code == 200
        return {day.day: day for week in response.context["weeks"] for day, _ in week}


class TestTaskPage:
    def test_links_its_schedule_and_shows_the_slot(self, staff: Client) -> None:
        schedule, slot = make_schedule(due=0), datetime(2026, 3, 29, 1, tzinfo=UTC)
        task = make_task(schedule_id=schedule.pk, scheduled_for=slot)
        html = staff.get(f"/admin/tasks_app/task/{task.pk}/change/").content.decode()
        assert f'href="{SCHEDULES}{schedule.pk}/change/"' in html
        assert "2026-03-29 01:00:00.000 UTC" in html

    def test_list_narrows_to_a_schedule(self, staff: Client) -> None:
        schedule = make_schedule(due=0)
        task = make_task(schedule_id=schedule.pk)
        make_task()
        rows = staff.get(f"/admin/tasks_app/task/?schedule={schedule.pk}").context["cl"].result_list
        assert [row.pk for row in rows] == [task.pk]


class TestAuditTrail:
    def test_links_schedules_and_calendars(self, staff: Client) -> None:
        for target in ("schedule:a&b", "calendar:freeze"):
            AuditEvent.objects.create(actor="user:maria", action="x", target=target)
        html = staff.get("/admin/access_app/auditevent/").content.decode()
        assert f'href="{SCHEDULES}?q=a%26b"' in html
        assert f'href="{CALENDARS}freeze/change/"' in html


class TestCalendars:
    def test_are_told_in_words_with_their_schedules(self, staff: Client) -> None:
        make_calendar("freeze", {"weekdays": ["sat"], "from": "22:00", "to": "06:00"}, {"dates": "12-24/12-26"},
                      {"from": "2020-01-01T00:00:00Z", "to": "2990-01-01T00:00:00Z"})  # fmt: skip
        make_schedule(name="nightly", calendars=["freeze"])
        html = staff.get(f"{CALENDARS}freeze/change/").content.decode()
        for text in ("Sat from 22:00 to 06:00 of the next day", "every year 12-24 to 12-26", "nightly", "BLACKOUT"):
            assert text in html, text
        [row] = staff.get(CALENDARS).context["cl"].result_list
        assert row.users == 1
