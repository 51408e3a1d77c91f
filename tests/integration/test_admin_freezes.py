"""The incident page: what the API does, by the same functions, as whoever is signed in; and the banner of pages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from access_app.models import AuditEvent
from flow_app import freezes
from flow_app.admin import banner
from flow_app.admin.banner import covered
from flow_app.freezes import NewFreeze
from flow_app.models import Freeze
from tasks_app.states import Gate, TaskStatus
from tests.factories import make_task
from tests.support.people import said, sign_in

pytestmark = pytest.mark.django_db

FREEZES = "/admin/flow_app/freeze/"
ASKED = {"queues": "mail, slow\nmail", "targets": "API.example.com", "types": ["SHELL"], "reason": "it is down"}


def freeze(**named: Any) -> Freeze:
    row, _ = freezes.freeze(NewFreeze(**{"queues": ["mail"], "reason": "it is <down>"} | named), actor="ops")
    banner.forget()
    return row


def page_of(row: Freeze) -> str:
    return f"{FREEZES}{row.pk}/change/"


class TestNewPage:
    def test_freezes_what_it_names_as_who_is_signed_in(self, staff: Client) -> None:
        response = staff.post(f"{FREEZES}add/", ASKED)
        assert said(response).startswith("Frozen: queues mail, slow; host api.example.com; type SHELL.")
        row = Freeze.objects.get()
        assert (row.queues, row.targets, row.types) == (["mail", "slow"], ["api.example.com"], ["SHELL"])
        assert (row.created_by, row.reason, row.until) == ("user:maria", "it is down", None)
        assert response["Location"] == page_of(row)
        assert AuditEvent.objects.filter(action="freeze.opened", actor="user:maria").count() == 1

    def test_says_what_it_is_about_before_it_does_anything(self, staff: Client) -> None:
        make_task(queue="mail")
        make_task(queue="mail", status=TaskStatus.RUNNING)
        html = staff.post(f"{FREEZES}add/", ASKED | {"look": "1"}).content.decode()
        assert "<dt>RUNNING</dt><dd>1</dd>" in html
        assert ">mail</a></dt><dd>2</dd>" in html
        assert "it is down" in html
        assert not Freeze.objects.exists()

    def test_is_filled_in_by_a_link(self, staff: Client) -> None:
        html = staff.get(f"{FREEZES}add/?queues=mail&types=SHELL").content.decode()
        assert ">mail</textarea>" in html.replace("\n", "")
        assert 'value="SHELL" id="id_types_2" checked' in html

    @pytest.mark.parametrize(
        ("changed", "problem"),
        [
            ({"queues": "", "targets": "", "types": []}, "Name at least one queue, target or type."),
            ({"queues": "a/b"}, "&#x27;a/b&#x27; is no name of a queue."),
            ({"targets": "https://x"}, "is no host"),
            ({"types": ["http"]}, "http is not one of the available choices"),
            ({"until": "2001-01-01T00:00:00"}, "This is in the past."),
            ({"reason": "\x07"}, "control character"),
        ],
    )
    def test_shows_what_is_wrong_at_its_field(self, staff: Client, changed: dict[str, Any], problem: str) -> None:
        response = staff.post(f"{FREEZES}add/", ASKED | changed)
        assert (response.status_code, problem in response.content.decode()) == (422, True)
        assert not Freeze.objects.exists()


class TestPage:
    def test_says_what_is_frozen_why_and_how_many_wait(self, staff: Client) -> None:
        row = freeze(until=timezone.now() + timedelta(hours=1), types=["HTTP"])
        make_task(queue="mail")
        make_task(type="HTTP", queue="other", gate=Gate.FREEZE)
        listed, html = (staff.get(url).content.decode() for url in (FREEZES, page_of(row)))
        for text in ("FROZEN", "queue mail; type HTTP", "it is &lt;down&gt;"):
            assert text in listed, text
            assert text in html, text
        assert "<dt>PENDING</dt><dd>2</dd>" in html
        assert f"http://testserver{page_of(row)}" in html

    def test_thaws_at_a_rate(self, staff: Client) -> None:
        row = freeze(types=["HTTP"])
        asked = {"thaw_limit": "5", "thaw_period": "60", "reason": "it is back"}
        assert "what waited comes back" in said(staff.post(f"{FREEZES}{row.pk}/thaw/", asked))
        row = Freeze.objects.get()
        assert (row.thawed_by, row.thaw_limit, row.thaw_period) == ("user:maria", 5, 60)
        assert AuditEvent.objects.get(action="freeze.thawed").reason == "it is back"
        html = staff.get(page_of(row)).content.decode()
        assert "Change how fast it thaws" in html
        assert 'value="5"' in html

    def test_shows_why_it_cannot_be_thawed_so(self, staff: Client) -> None:
        row = freeze()
        response = staff.post(f"{FREEZES}{row.pk}/thaw/", {"thaw_limit": "5"})
        assert response.status_code == 422
        assert Freeze.objects.get().is_open
        freezes.thaw(row.pk, actor="somebody")
        assert said(staff.post(f"{FREEZES}{row.pk}/thaw/", {})) == "Nothing was done: it has ended already."

    def test_is_read_by_a_viewer_who_is_told_what_is_missing(self, client: Client) -> None:
        row = freeze()
        sign_in(client, "view_freeze")
        html = client.get(page_of(row)).content.decode()
        assert "You cannot thaw it here. This needs the permission flow_app.change_freeze." in html
        assert 'id="thaw"' not in html
        assert client.post(f"{FREEZES}{row.pk}/thaw/", {}).status_code == 403
        assert client.post(f"{FREEZES}add/", ASKED).status_code == 403

    def test_of_past_ones_are_listed_apart(self, staff: Client) -> None:
        first, second = freeze(queues=["a"]), freeze(queues=["b"])
        freezes.thaw(first.pk, actor="somebody")
        found = {
            status: [row.pk for row in staff.get(f"{FREEZES}?status={status}").context["cl"].result_list]
            for status in ("OPEN", "ENDED")
        }
        assert found == {"OPEN": [second.pk], "ENDED": [first.pk]}


class TestIncident:
    """The banner."""

    def test_is_on_every_page_while_something_is_frozen(self, staff: Client) -> None:
        row = freeze(until=timezone.now() + timedelta(hours=1))
        for url in ("/admin/", "/admin/tasks_app/task/", "/admin/password_change/", f"{FREEZES}add/"):
            html = staff.get(url).content.decode()
            assert "Frozen: queue mail" in html, url
            assert "it is &lt;down&gt;" in html, url
            assert page_of(row) in html, url
        staff.post(f"{FREEZES}{row.pk}/thaw/", {})
        assert "ts-incident" not in staff.get("/admin/tasks_app/task/").content.decode()

    def test_costs_pages_one_look_in_a_while(self, staff: Client) -> None:
        staff.get(FREEZES)
        banner.forget()
        with CaptureQueriesContext(connection) as queries:
            for _ in range(3):
                staff.get("/admin/password_change/")
        assert sum("freezes" in query["sql"] for query in queries) == 1

    def test_names_a_few_and_says_that_there_are_more(self, staff: Client) -> None:
        for name in "abcd":
            freeze(queues=[name])
        html = staff.get("/admin/").content.decode()
        assert [f"Frozen: queue {name}" in html for name in "abcd"] == [False, True, True, True]
        assert "all that are open" in html

    def test_says_no_more_to_who_may_not_read_it(self, client: Client) -> None:
        freeze()
        html = sign_in(client, "view_worker").get("/admin/").content.decode()
        assert "Some work is frozen" in html
        assert "mail" not in html

    def test_words_are_few(self) -> None:
        row = Freeze(queues=[f"q{n}" for n in range(7)], targets=[], types=["HTTP", "SHELL"])
        assert covered(row) == "queues q0, q1, q2, q3, q4 and 2 more; types HTTP, SHELL"
