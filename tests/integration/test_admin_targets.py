"""Pages of targets: what the API does, by the same functions, as whoever is signed in."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from access_app.models import AuditEvent
from flow_app import targets
from flow_app.admin.target_form import NewTargetForm, TargetForm
from flow_app.models import Target
from flow_app.targets import Rules, put_target
from tasks_app.states import Gate, TaskStatus
from tests.factories import make_task
from tests.support.forms import forms_of, send_untouched
from tests.support.people import said, sign_in

pytestmark = pytest.mark.django_db

TARGETS = "/admin/flow_app/target/"
API = f"{TARGETS}api.example.com/"
SET = {"max_concurrency": "4", "respect_retry_after": "on"}


@pytest.fixture
def target() -> Target:
    return put_target("api.example.com", Rules(max_concurrency=3), actor="a")[0]


def statements(client: Client, url: str) -> int:
    client.get(url)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    return len(queries)


class TestPages:
    def test_say_what_calls_and_what_waits(self, staff: Client, target: Target) -> None:
        make_task(target=target.host, status=TaskStatus.RUNNING)
        make_task(target=target.host, gate=Gate.TARGET)
        Target.objects.update(backing_off_until=timezone.now() + timedelta(minutes=5, seconds=30))
        listed, page = (staff.get(url).content.decode() for url in (TARGETS, f"{API}change/"))
        for text in ("BACKING OFF", "in 5 min", "at most 3", "1 / 3"):
            assert text in listed, text
        for text in ("BACKING OFF", "It asked to be left alone", "1 / 3", "Waiting behind it</span><b>1</b>"):
            assert text in page, text

    def test_say_when_the_next_token_comes(self, staff: Client) -> None:
        put_target("slow.example.com", Rules(rate_limit=1, rate_period=600, rate_burst=0), actor="a")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE buckets SET full_at = now() + interval '9 minutes 30 seconds'")
        html = staff.get(f"{TARGETS}slow.example.com/change/").content.decode()
        assert "Tokens of its rate</span><b>0</b>" in html
        assert "in 9 min" in html

    def test_find_a_part_of_a_host(self, staff: Client, target: Target) -> None:
        put_target("shop.example.com", Rules(), actor="a")
        found = staff.get(f"{TARGETS}?q=SHOP").context["cl"].result_list
        assert [each.host for each in found] == ["shop.example.com"]
        assert staff.get(f"{TARGETS}?host=x").status_code == 400

    def test_show_each_host_there_can_be(self, staff: Client) -> None:
        for host in ("::1", "a%2fb", "_x_", "x" * 253, "host:80"):
            put_target(host, Rules(), actor="a")
        addresses = [row.host for row in staff.get(TARGETS).context["cl"].result_list]
        assert len(addresses) == 5
        html = staff.get(TARGETS).content.decode()
        for host in addresses:
            assert f"{TARGETS}{quote(host)}/change/" in html
            assert staff.get(f"{TARGETS}{quote(host)}/change/").status_code == 200, host

    def test_of_no_target_lead_back_to_the_list(self, staff: Client) -> None:
        for host in ("nonsense", "a/b", "x" * 999, "%3Cscript%3E"):
            assert staff.get(f"{TARGETS}{host}/change/").status_code in (302, 404), host

    def test_cost_as_many_statements_for_many_targets_as_for_few(self, staff: Client, target: Target) -> None:
        few = statements(staff, TARGETS)
        for n in range(30):
            put_target(f"h{n}", Rules(), actor="a")
        assert statements(staff, TARGETS) <= few <= 15
        assert statements(staff, f"{API}change/") <= 15

    def test_are_read_and_not_changed_with_view_permission(self, client: Client, target: Target) -> None:
        sign_in(client, "view_target")
        for url in (TARGETS, f"{API}change/"):
            html = client.get(url).content.decode()
            assert {action for action, _ in forms_of(html)} <= {"/admin/logout/", ""}
            assert "addlink" not in html
        assert client.get(f"{TARGETS}add/").status_code == 403
        for word in ("edit", "delete"):
            assert client.post(f"{API}{word}/", SET | {"version": "1"}).status_code == 403
        bulk = {"action": "forget_selected", "index": "0", "_selected_action": [target.host]}
        client.post(TARGETS, bulk)
        assert Target.objects.get().version == 1

    def test_are_not_for_staff_without_permission(self, client: Client, target: Target) -> None:
        sign_in(client)
        assert [client.get(url).status_code for url in (TARGETS, f"{API}change/", f"{TARGETS}add/")] == [403] * 3
        assert b"api.example.com" not in client.get("/admin/").content


class TestForms:
    def test_have_a_field_for_each_rule(self) -> None:
        """A rule that a target gets is in its form, or this fails."""
        columns = {field.name for field in fields(Rules)}
        assert set(TargetForm().fields) == {"version", *columns}
        assert set(NewTargetForm().fields) == {"version", "host", *columns}

    def test_set_a_rate_and_name_what_is_none(self, staff: Client, target: Target) -> None:
        wrong = staff.post(f"{API}edit/", {"version": "1", "rate_limit": "5", **SET})
        assert "is required" in wrong.content.decode()
        staff.post(f"{API}edit/", {"version": "1", "rate_limit": "100", "rate_period": "1", **SET})
        target.refresh_from_db()
        assert (target.rate_limit, target.rate_period, target.rate_burst) == (100, 1, 10)

    def test_set_change_and_forget_rules(self, staff: Client) -> None:
        made = staff.post(f"{TARGETS}add/", {"host": "API.Example.com.", **SET})
        assert made["Location"] == f"{API}change/"
        target = Target.objects.get()
        assert (target.host, target.max_concurrency, target.respect_retry_after) == ("api.example.com", 4, True)
        assert send_untouched(staff, f"{API}change/", "../edit/").status_code == 302
        assert Target.objects.get().version == 1
        assert "saved" in said(staff.post(f"{API}edit/", {"version": "1"}))
        target.refresh_from_db()
        assert (target.max_concurrency, target.respect_retry_after, target.version) == (None, False, 2)
        assert "no rules any more" in said(staff.post(f"{API}delete/", {"version": "2"}))
        assert not Target.objects.exists()
        events = AuditEvent.objects.filter(actor="user:maria", target="target:api.example.com").order_by("id")
        assert [event.action for event in events] == ["target.changed", "target.changed", "target.deleted"]

    def test_take_back_what_has_not_started(self, staff: Client) -> None:
        task = make_task(target="h", status=TaskStatus.SCHEDULED)
        staff.post(f"{TARGETS}add/", {"host": "h", "max_concurrency": "0"})
        task.refresh_from_db()
        assert task.status == TaskStatus.PENDING

    @pytest.mark.parametrize("version", ["0", "2", "", "x", "-1", "9" * 30])
    def test_of_an_old_page_change_nothing(self, staff: Client, target: Target, version: str) -> None:
        refused = staff.post(f"{API}edit/", SET | {"version": version})
        assert refused.status_code == 422
        assert "Nothing was done" in said(staff.post(f"{API}delete/", {"version": version}))
        assert (Target.objects.get().max_concurrency, Target.objects.get().version) == (3, 1)

    def test_of_two_tabs_do_not_overwrite_each_other(self, staff: Client, target: Target) -> None:
        [sent] = [sent for action, sent in forms_of(staff.get(f"{API}change/").content.decode()) if "edit" in action]
        assert staff.post(f"{API}edit/", sent | {"max_concurrency": "7"}).status_code == 302
        late = staff.post(f"{API}edit/", sent | {"max_concurrency": "9"})
        assert "Somebody changed api.example.com meanwhile: it is at version 2 now" in late.content.decode()
        assert Target.objects.get().max_concurrency == 7

    def test_add_no_target_twice(self, staff: Client, target: Target) -> None:
        refused = staff.post(f"{TARGETS}add/", {"host": target.host, "max_concurrency": "9"})
        assert refused.status_code == 422
        assert Target.objects.get().max_concurrency == 3

    @pytest.mark.parametrize(
        ("sent", "at"),
        [
            ({"host": ""}, "host"),
            ({"host": "https://x/"}, "host"),
            ({"host": "a b"}, "host"),
            ({"host": "<script>alert(1)</script>"}, "host"),
            ({"host": "a\0b"}, "host"),
            ({"host": "x" * 254}, "host"),
            ({"host": "ä.example"}, "host"),
            ({"host": "a\u202eb"}, "host"),
            ({"max_concurrency": "-1"}, "max_concurrency"),
            ({"max_concurrency": "100001"}, "max_concurrency"),
            ({"max_concurrency": "9" * 5000}, "max_concurrency"),
            ({"max_concurrency": "four"}, "max_concurrency"),
        ],
    )
    def test_say_what_is_wrong_where_it_is(self, staff: Client, sent: dict[str, str], at: str) -> None:
        response = staff.post(f"{TARGETS}add/", {"host": "h"} | sent)
        assert (response.status_code, list(response.context["form"].errors)) == (422, [at])
        assert b"<script>alert" not in response.content
        assert not Target.objects.exists()


class TestManyAtOnce:
    def test_are_forgotten_with_an_event_each(self, staff: Client, target: Target) -> None:
        put_target("other", Rules(), actor="a")
        bulk = {"action": "forget_selected", "index": "0", "_selected_action": [target.host, "other"]}
        assert said(staff.post(TARGETS, bulk)) == "2 targets forgotten: api.example.com, other."
        assert AuditEvent.objects.filter(action="target.deleted", actor="user:maria").count() == 2

    def test_leave_alone_what_somebody_changes_meanwhile(
        self, staff: Client, target: Target, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        forget = targets.delete_target

        def overtaken(host: str, **more: Any) -> None:
            put_target(host, Rules(max_concurrency=9), actor="other")
            forget(host, **more)

        monkeypatch.setattr(targets, "delete_target", overtaken)
        bulk = {"action": "forget_selected", "index": "0", "_selected_action": [target.host]}
        assert said(staff.post(TARGETS, bulk)) == "0 targets forgotten: none."
        assert Target.objects.get().max_concurrency == 9

    def test_know_no_other_deletion(self, staff: Client, target: Target) -> None:
        staff.post(TARGETS, {"action": "delete_selected", "index": "0", "_selected_action": [target.host]})
        staff.post(f"{API}delete/", {"post": "yes"})
        assert Target.objects.get() == target
