"""Pages that those who look at them ask for again: their content alone, whoever asks, and no more than that."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.test import Client

from access_app.ids import new_task_ids
from tasks_app.models import Task
from tasks_app.states import TaskStatus
from tests.factories import make_task
from tests.support.pages import admin_addresses, make_everything, make_schedules

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_cache")]

ASKED = {"X-Live": "1"}
TASKS = "/admin/tasks_app/task/"


class TestAskedAgain:
    def test_every_page_that_moves_is_its_content_alone(self, staff: Client) -> None:
        make_everything("text")
        make_schedules("text")
        moving = []
        for name, url in admin_addresses().items():
            html = staff.get(url, headers={"Accept": "text/html"}).content.decode()
            if " data-live=" not in html:
                continue
            part = staff.get(url, headers=ASKED).content.decode()
            assert "<html" not in part, name
            assert part.count(" data-live=") == 1, name
            assert html.count('id="ts-live-notice"') == 1, name
            moving.append(name)
        assert {"admin:index", "admin:tasks_app_task_change", "admin:flow_app_queue_change"} <= set(moving)

    def test_a_row_that_is_gone_is_said_to_be(self, staff: Client) -> None:
        """Being led elsewhere would read as signed out."""
        url = f"{TASKS}{new_task_ids(1)[0]}/change/"
        assert staff.get(url, headers=ASKED).status_code == 410
        assert staff.get(url).status_code == 302

    def test_a_refused_form_does_not_ask_for_the_address_of_its_button(self, staff: Client) -> None:
        make_task(queue="q")
        refused = staff.post("/admin/flow_app/queue/q/edit/", {"max_concurrency": "1000000", "version": "0"})
        assert refused.status_code == 422
        assert b" data-live=" not in refused.content


class TestHowOften:
    def test_a_task_that_has_ended_is_looked_at_less(self, staff: Client) -> None:
        running, ended = make_task(status=TaskStatus.RUNNING, worker_id=uuid4()), make_task(status=TaskStatus.FAILED)

        def seconds(task: Task) -> int:
            return int(staff.get(f"{TASKS}{task.pk}/change/").context["live_seconds"])

        assert (seconds(running), seconds(ended)) == (2, 20)
