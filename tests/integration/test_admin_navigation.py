"""The way back leads to the list as it was filtered, from its rows' pages and from what is done there."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import urljoin

import pytest
from django.test import Client

from flow_app.queues import pause_queue
from tasks_app.states import TaskStatus
from tests.factories import make_task
from tests.support.forms import forms_of
from tests.support.pages import make_worker
from tests.support.schedules import make_calendar, make_schedule

pytestmark = pytest.mark.django_db


def links(html: str) -> list[str]:
    return [unescape(href) for href in re.findall(r'<a [^>]*?href="([^"]*)"', html)]


def follow(client: Client, url: str) -> tuple[str, str]:
    """The page a link or a redirect ends at, and what it shows."""
    response = client.get(url, follow=True)
    assert response.status_code == 200, url
    return (response.redirect_chain[-1][0] if response.redirect_chain else url), response.content.decode()


def crumb(html: str, address: str) -> str:
    """Where the list stands among the crumbs."""
    [heading] = re.findall(r"<h1.*?</h1>", html, re.DOTALL)
    [found] = [link for link in links(heading) if link.startswith(address) and "/change/" not in link]
    return found


LISTS: list[tuple[str, str, Any]] = [
    ("/admin/tasks_app/task/", "status=FAILED&queue=q", lambda: make_task(status=TaskStatus.FAILED, queue="q")),
    ("/admin/flow_app/queue/", "q=part", lambda: pause_queue("part", actor="user:anna")),
    ("/admin/workers_app/worker/", "state=ACTIVE", make_worker),
    ("/admin/schedules_app/schedule/", "q=night&state=active", lambda: make_schedule(due=0, name="nightly")),
    ("/admin/schedules_app/blackoutcalendar/", "q=clo", lambda: make_calendar("closed", {"dates": "12-24"})),
]


@pytest.mark.parametrize(("address", "query", "make"), LISTS, ids=[address.split("/")[-2] for address, *_ in LISTS])
class TestTheWayBack:
    def page(self, client: Client, address: str, query: str, make: Any) -> tuple[str, str]:
        make()
        _, html = follow(client, f"{address}?{query}")
        [row] = [link for link in links(html) if "/change/" in link]
        return follow(client, row)

    def test_from_a_row(self, staff: Client, address: str, query: str, make: Any) -> None:
        _, html = self.page(staff, address, query, make)
        assert crumb(html, address) == f"{address}?{query}"

    def test_from_what_was_done_to_it(self, staff: Client, address: str, query: str, make: Any) -> None:
        url, html = self.page(staff, address, query, make)
        posts = [(action, fields) for action, fields in forms_of(html) if action.startswith("../")]
        for action, fields in posts:
            if "/delete/" in action:
                continue
            response = staff.post(urljoin(url, action), fields, follow=True)
            assert crumb(response.content.decode(), address) == f"{address}?{query}", action
        assert posts

    def test_from_its_form(self, staff: Client, address: str, query: str, make: Any) -> None:
        url, html = self.page(staff, address, query, make)
        for edit in [link for link in links(html) if "/edit/" in link]:
            url, html = follow(staff, urljoin(url, edit))
            assert crumb(html, address) == f"{address}?{query}"
            [back] = [link for link in links(html) if link.startswith(("../change/", "../?"))]
            assert crumb(follow(staff, urljoin(url, back))[1], address) == f"{address}?{query}"
            [(_, fields)] = [form for form in forms_of(html) if form[0] == ""]
            response = staff.post(url, fields, follow=True)
            assert crumb(response.content.decode(), address) == f"{address}?{query}"

    def test_from_the_form_for_a_new_one(self, staff: Client, address: str, query: str, make: Any) -> None:
        make()
        _, html = follow(staff, f"{address}?{query}")
        for add in [link for link in links(html) if link.startswith(f"{address}add/")]:
            url, html = follow(staff, add)
            assert crumb(html, address) == f"{address}?{query}"
            [back] = [link for link in links(html) if link.startswith("../")]
            assert urljoin(url, back) == f"{address}?{query}"


def test_the_parts_of_a_ledger_keep_it_too(staff: Client) -> None:
    schedule = make_schedule(due=0, name="nightly")
    page = f"/admin/schedules_app/schedule/{schedule.pk}/change/"
    url = f"{page}?_changelist_filters=q%3Dnight"
    _, html = follow(staff, url)
    parts = [link for link in links(html) if "#slots" in link]
    assert len(parts) > 10
    for part in (parts[0], parts[5], parts[-1]):
        html = follow(staff, urljoin(url, part.partition("#")[0]))[1]
        assert crumb(html, "/admin/schedules_app/schedule/").endswith("?q=night")


def test_a_deleted_row_leads_to_its_list(staff: Client) -> None:
    schedule = make_schedule(due=0, name="nightly")
    url = f"/admin/schedules_app/schedule/{schedule.pk}/delete/?_changelist_filters=q%3Dnight"
    response = staff.post(url, {"version": schedule.version})
    assert response["Location"] == "/admin/schedules_app/schedule/?q=night"


def test_no_header_can_be_slipped_in(staff: Client) -> None:
    schedule = make_schedule(due=0)
    url = f"/admin/schedules_app/schedule/{schedule.pk}/delete/?_changelist_filters=q%3Dx%0D%0AX-Evil:%20y"
    response = staff.post(url, {"version": schedule.version})
    assert response["Location"] == "/admin/schedules_app/schedule/?q=x%0D%0AX-Evil:%20y"


def test_what_stands_there_is_a_query_and_nothing_else(staff: Client) -> None:
    task = make_task()
    for hostile in ("//elsewhere.example", "javascript:alert(1)", '"><script>', "x#y"):
        html = staff.get(f"/admin/tasks_app/task/{task.pk}/change/", {"_changelist_filters": hostile}).content.decode()
        assert crumb(html, "/admin/tasks_app/task/").startswith("/admin/tasks_app/task/?")
        assert "<script>" not in html.replace("<script src", "")
