"""Pages that those who look at them ask for again: their content alone, whoever asks, and no more than that."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

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
            html = b"".join(staff.get(url, headers={"Accept": "text/html"})).decode(errors="replace")
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


class TestColumns:
    """A column sorts when an index does; what is chosen stands in the address, and stays there."""

    LISTS = (
        "tasks_app/task",
        "tasks_app/taskexecution",
        "access_app/auditevent",
        "schedules_app/schedule",
        "workers_app/worker",
    )

    def test_sort_both_ways(self, staff: Client) -> None:
        make_everything("text")
        make_schedules("text")
        for name in self.LISTS:
            url = f"/admin/{name}/"
            columns = re.findall(r'class="sortable column-[^>]*><a href="([^"]*)"', staff.get(url).content.decode())
            assert columns, name
            for query in columns:
                ways = [query, query.replace("o=-", "o=") if "o=-" in query else query.replace("o=", "o=-")]
                first, other = ([row.pk for row in staff.get(url + way).context["cl"].result_list] for way in ways)
                assert set(first) == set(other), (name, query)

    def test_are_oldest_first_on_demand_and_stay_so_when_filtered(self, staff: Client) -> None:
        made = [make_task(queue="q").pk for _ in range(3)]
        response = staff.get(f"{TASKS}?o=7")
        assert [task.pk for task in response.context["cl"].result_list] == made
        assert '<input type="hidden" name="o" value="7">' in response.content.decode()
        assert 'aria-sort="ascending"' in response.content.decode()

    def test_say_what_a_task_was_called_by_its_caller(self, staff: Client) -> None:
        make_task(correlation_id="order-77", payload={"url": "https://x/orders"})
        html = staff.get(TASKS).content.decode()
        assert "https://x/orders · order-77" in html


class TestCost:
    #: Beside those that say who asks: session, account, permissions.
    MOST = 15
    #: Reads calendars and clock for each of its parts.
    MORE = {"admin:schedules_app_schedule_change": 1}
    #: A page of fifty rows, without the text of the rows' own payloads.
    MOST_BYTES = 120_000

    def test_of_every_page_is_bounded(self, staff: Client) -> None:
        make_everything("text")
        make_schedules("text")
        url = "https://api.example.com/v1/customers/4711/orders/{}/confirmation?page=1"
        for n in range(51):
            made = {"payload": {"url": url.format(n)}, "correlation_id": f"order-{n}", "queue": "mail"}
            make_task(type="HTTP", status=TaskStatus.FAILED, **made)
        dear, large = {}, {}
        for name, url in admin_addresses().items():
            cache.clear()
            with CaptureQueriesContext(connection) as queries:
                response = staff.get(url, headers={"Accept": "text/html"})
            if response.status_code != 200 or response.streaming:
                continue
            asking = ("SAVEPOINT", 'FROM "django_session"', 'FROM "auth_user"')
            sent = [query["sql"] for query in queries if not any(part in query["sql"] for part in asking)]
            if len(sent) > self.MOST + self.MORE.get(name, 0):
                dear[name] = len(sent)
            if len(response.content) > self.MOST_BYTES:
                large[name] = len(response.content)
        assert not large
        assert not dear
