"""What pages say is so, when it is said, and to whom it is said."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.messages import constants
from django.contrib.messages.storage.base import Message
from django.contrib.messages.storage.cookie import CookieStorage
from django.test import Client, RequestFactory
from django.utils import timezone

from flow_app.models import Queue
from flow_app.queues import pause_queue
from schedules_app.models import BlackoutCalendar, Schedule
from tasks_app.models import Task
from tasks_app.states import ExecutionStatus, TaskStatus
from tests.factories import make_execution, make_task
from tests.support.forms import send_untouched
from tests.support.pages import admin_addresses, make_everything, make_schedules, make_worker
from tests.support.schedules import make_calendar, make_schedule, whole_now

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_cache")]

TASKS = "/admin/tasks_app/task/"
SCHEDULES = "/admin/schedules_app/schedule/"
LEVELS = (constants.DEBUG, constants.INFO, constants.SUCCESS, constants.WARNING, constants.ERROR)


def leave_messages(client: Client) -> None:
    """As if an action had left a message of each level for the next page."""
    storage = CookieStorage(RequestFactory().get("/"))
    told = [Message(level, f"told at {level}") for level in LEVELS]
    client.cookies[CookieStorage.cookie_name] = storage._encode(told)


class TestMessages:
    def test_are_shown_as_they_were_left_on_every_page(self, staff: Client) -> None:
        make_everything("text")
        make_schedules("text")
        told = 0
        for name, url in admin_addresses().items():
            leave_messages(staff)
            response = staff.get(url)
            html = b"".join(response).decode()  # a file of a list comes in pieces
            if response.status_code == 200 and 'id="nav-sidebar"' in html:
                missing = [level for level in LEVELS if f"told at {level}" not in html]
                assert not missing, name
                told += 1
        assert told > 30

    def test_are_not_used_up_by_an_overview_in_another_tab(self, staff: Client) -> None:
        leave_messages(staff)
        part = staff.get("/admin/", headers={"X-Live": "1"}).content.decode()
        assert 'id="ts-overview"' in part
        assert "<html" not in part
        assert "told at" not in part
        assert "told at 40" in staff.get("/admin/").content.decode()

    def test_tell_the_second_of_two_tabs_that_the_first_was_quicker(self, staff: Client) -> None:
        task = make_task(status=TaskStatus.FAILED, attempt=1)
        make_execution(task, status=ExecutionStatus.FAILED, task_status=TaskStatus.FAILED,
                       error_code="EXIT_CODE", error_message="boom")  # fmt: skip
        seen = {"version": str(task.version)}
        staff.post(f"{TASKS}{task.pk}/retry/", seen)
        html = staff.post(f"{TASKS}{task.pk}/retry/", seen, follow=True).content.decode()
        assert "changed since you looked, and left alone" in html
        assert "&#x27;code&#x27;" not in html

    def test_of_a_cancelled_run_are_true_when_they_are_read(self, staff: Client) -> None:
        """The worker may stop the task before the next page is drawn."""
        task = make_task(status=TaskStatus.RUNNING)
        staff.post(f"{TASKS}{task.pk}/cancel/")
        Task.objects.filter(pk=task.pk).update(
            status=TaskStatus.CANCELLED, finished_at=timezone.now(), worker_id=None, unsuccessful=True
        )
        html = staff.get(f"{TASKS}{task.pk}/change/").content.decode()
        assert "1 task running when asked to stop" in html


class TestFormsOpenedAndSaved:
    """A form of something that exists holds what it is: saved untouched, it changes nothing."""

    @pytest.mark.parametrize("until", [None, timedelta(hours=3, microseconds=123_456)])
    def test_keep_the_reason_and_the_end_of_a_pause(self, staff: Client, until: timedelta | None) -> None:
        end = until and timezone.now() + until
        pause_queue("q", actor="user:anna", reason="partner is <down>", until=end)
        send_untouched(staff, "/admin/flow_app/queue/q/change/", "/pause/")
        queue = Queue.objects.get()
        assert (queue.pause_reason, queue.paused_until) == ("partner is <down>", end)

    def test_ask_for_a_new_reason_when_the_last_pause_is_over(self, staff: Client) -> None:
        pause_queue("q", actor="user:anna", reason="partner is down", until=None)
        Queue.objects.update(paused_until=timezone.now() - timedelta(minutes=1))
        assert "partner is down" not in staff.get("/admin/flow_app/queue/q/change/").content.decode().split("<form")[-1]

    def test_keep_a_schedule(self, staff: Client) -> None:
        make_calendar("closed", {"dates": "12-24"})
        task = {"type": "HTTP", "payload": {"url": "http://x/"}, "maxRetries": 0, "priority": -3}
        make_schedule(name="nightly", cron="30 2 * * *", timezone="Europe/Berlin", description="a\nb", task=task,
                      calendars=["closed"], jitter_seconds=7, overlap="queue_one", misfire_policy="run_all",
                      dst_gap="skip", start_at=whole_now() + timedelta(days=1, microseconds=5))  # fmt: skip
        row = Schedule.objects.values().get()
        response = send_untouched(staff, f"{SCHEDULES}{row['id']}/edit/")
        assert response.status_code == 302
        assert Schedule.objects.values().get() == row | {"updated_at": Schedule.objects.get().updated_at}

    def test_keep_a_calendar(self, staff: Client) -> None:
        make_calendar("closed", {"dates": "12-24"}, on_blackout="run_at_end", timezone="Europe/Berlin")
        row = BlackoutCalendar.objects.values().get()
        assert send_untouched(staff, "/admin/schedules_app/blackoutcalendar/closed/edit/").status_code == 302
        after = BlackoutCalendar.objects.values().get()
        assert after == row | {"updated_at": after["updated_at"], "version": after["version"]}


class TestTimes:
    def test_of_what_has_been_never_lie_ahead(self, staff: Client) -> None:
        """The database's clock may be before the web's, and the overview's present is as old as its copy."""
        ahead = timezone.now() + timedelta(seconds=20)
        task = make_task(status=TaskStatus.FAILED, attempt=1)
        Task.objects.update(finished_at=ahead, started_at=ahead, created_at=ahead)
        make_execution(task, started_at=ahead, status=ExecutionStatus.FAILED, task_status=TaskStatus.FAILED)
        worker = make_worker(last_heartbeat_at=ahead, started_at=ahead)
        held = make_task(status=TaskStatus.RUNNING, worker_id=worker.pk)
        Task.objects.filter(pk=held.pk).update(started_at=ahead, assigned_at=ahead, created_at=ahead)
        make_schedule(due=0, every=timedelta(days=90), last_fire_at=ahead)
        for url in ("/admin/", TASKS, f"{TASKS}{task.pk}/change/", f"{TASKS}{held.pk}/change/",
                    "/admin/tasks_app/taskexecution/", "/admin/workers_app/worker/",
                    f"/admin/workers_app/worker/{worker.pk}/change/", SCHEDULES):  # fmt: skip
            html = staff.get(url).content.decode()
            assert ">in 1" not in html, url
            assert ">in 2" not in html, url
            assert not re.search(r"[> ]-\d", html), url


class TestScheduleThatWillNotRun:
    def test_when_paused_has_no_next_fire(self, staff: Client) -> None:
        paused = make_schedule(due=0, name="held", paused_at=timezone.now(), paused_by="user:anna")
        other = make_schedule(due=0, name="free", late=timedelta(minutes=-5))
        overview = staff.get("/admin/").context["overview"]
        assert [schedule["name"] for schedule in overview["schedules"]["next"]] == ["free"]
        html = staff.get(SCHEDULES).content.decode()
        assert html.count(">in ") == 1
        page = staff.get(f"{SCHEDULES}{paused.pk}/change/").content.decode()
        assert "not while paused" in page
        assert "<b><time" in staff.get(f"{SCHEDULES}{other.pk}/change/").content.decode()

    def test_in_blackout_says_so(self, staff: Client) -> None:
        year = {"from": "2020-01-01T00:00:00Z", "to": "2990-01-01T00:00:00Z"}
        make_calendar("closed", year)
        make_calendar("later", year, on_blackout="run_at_end")
        for name in ("closed", "later"):
            schedule = make_schedule(due=0, name=f"s-{name}", calendars=[name])
            page = staff.get(f"{SCHEDULES}{schedule.pk}/change/").content.decode()
            assert f"blackout {name}" in page.partition("<h3>What became of its slots")[0]
        assert staff.get(SCHEDULES).content.decode().count("blackout closed<") == 1
        assert staff.get(SCHEDULES).content.decode().count("blackout later<") == 1
        fires = [schedule["fires"] for schedule in staff.get("/admin/").context["overview"]["schedules"]["next"]]
        assert all("blackout" in text for text in fires)


class TestOldestDue:
    def test_is_not_well_while_due_tasks_wait_in_a_paused_queue(self, staff: Client) -> None:
        make_task(queue="held", run_at=timezone.now() - timedelta(hours=3))
        pause_queue("held", actor="user:anna")
        stats = staff.get("/admin/").context["overview"]["stats"]
        assert (stats["oldest_due"], stats["oldest_due_tone"]) == ("3 h", "ts-orange")
        assert "paused" in stats["oldest_due_where"]
        [queue] = staff.get("/admin/").context["overview"]["queues"]
        assert queue["oldest"] == "3 h"

    def test_is_that_of_the_queues_that_run_and_names_the_paused_ones_beside(self, staff: Client) -> None:
        make_task(queue="held", run_at=timezone.now() - timedelta(hours=3))
        make_task(queue="free", run_at=timezone.now() - timedelta(minutes=20))
        pause_queue("held", actor="user:anna", until=timezone.now() + timedelta(hours=1))
        stats = staff.get("/admin/").context["overview"]["stats"]
        assert (stats["oldest_due"], stats["oldest_due_tone"]) == ("20 min", "ts-red")
        assert "3 h" in stats["oldest_due_where"]

    def test_is_none_and_well_without_any(self, staff: Client) -> None:
        make_task(queue="held", run_at=timezone.now() + timedelta(hours=3))
        pause_queue("held", actor="user:anna")
        stats = staff.get("/admin/").context["overview"]["stats"]
        assert (stats["oldest_due"], stats["oldest_due_tone"]) == ("none", "ts-green")


class TestAnActionAfterSigningInAgain:
    def test_is_not_done_and_says_so(self, staff: Client) -> None:
        """The login page leads to the address of the button, with GET."""
        task = make_task()
        for url in (f"{TASKS}{task.pk}/cancel/", f"{TASKS}{task.pk}/retry/"):
            response = staff.get(url, follow=True)
            assert response.redirect_chain == [("../change/", 302)]
            assert "Nothing was done" in response.content.decode()
        assert Task.objects.get().status == TaskStatus.PENDING
