"""Pages of queues: every queue in use is listed, and the page of one says what is in it, whoever named its keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from access_app.models import AuditEvent
from flow_app.admin.queue_forms import KeyForm, QueueRulesForm
from flow_app.admin.queue_page import MOST_KEYS
from flow_app.models import Queue, QueueKey
from flow_app.queue_keys import USUAL, set_key
from flow_app.queues import edit_queue, pause_queue
from flow_app.rules import RULES
from tasks_app.states import Gate, TaskStatus
from tests.factories import make_execution, make_task
from tests.support.forms import forms_of, send_untouched
from tests.support.people import said, sign_in

pytestmark = pytest.mark.django_db

QUEUES = "/admin/flow_app/queue/"
SCRIPT = "<script>alert(1)</script>"
TURNED = "a\u202eb"


def listed(client: Client, query: str = "") -> list[str]:
    response = client.get(f"{QUEUES}?{query}")
    assert response.status_code == 200
    return [queue.name for queue in response.context["cl"].result_list]


def page(client: Client, name: str, query: str = "") -> Any:
    return client.get(f"{QUEUES}{name}/change/{query}")


def act(client: Client, action: str, *names: str, query: str = "") -> str:
    return said(client.post(f"{QUEUES}?{query}", {"action": action, "index": "0", "_selected_action": names}))


class TestList:
    def test_has_every_queue_in_use(self, staff: Client) -> None:
        make_task(queue="waits")
        make_task(queue="runs", status=TaskStatus.RUNNING)
        make_task(queue="ended", status=TaskStatus.SUCCESS)
        Queue.objects.create(name="row")
        assert listed(staff) == ["row", "runs", "waits"]

    def test_pages_by_name(self, staff: Client) -> None:
        for n in range(60):
            make_task(queue=f"q{n:02}")
        assert listed(staff) == [f"q{n:02}" for n in range(50)]
        assert listed(staff, "p=2") == [f"q{n:02}" for n in range(50, 60)]
        assert listed(staff, "p=999") == []

    def test_finds_a_part_of_a_name_whatever_its_case(self, staff: Client) -> None:
        for name in ("Mail.out", "mail.in", "other"):
            make_task(queue=name)
        assert listed(staff, "q=MAIL") == ["Mail.out", "mail.in"]
        assert listed(staff, "q=%25") == listed(staff, "q=_") == []

    def test_narrows_to_those_that_somebody_did_something_about(self, staff: Client) -> None:
        make_task(queue="plain")
        pause_queue("paused", actor="a")
        edit_queue("limited", {"maxConcurrency": 4}, actor="a")
        edit_queue("keyed", {"perKey": {"maxConcurrency": 4}}, actor="a")
        assert listed(staff, "state=paused") == ["paused"]
        assert listed(staff, "state=rules") == ["keyed", "limited"]
        assert listed(staff, "state=rules&q=lim") == ["limited"]
        assert staff.get(f"{QUEUES}?state=nonsense").status_code == 400
        assert staff.get(f"{QUEUES}?name=plain").status_code == 400

    def test_says_what_is_in_each(self, staff: Client) -> None:
        due = timezone.now() - timedelta(minutes=5)
        make_task(queue="q", run_at=due)
        make_task(queue="q", gate=Gate.RATE)
        make_task(queue="q", status=TaskStatus.RUNNING)
        edit_queue("q", {"maxConcurrency": 4, "rateLimit": {"limit": 7, "periodSeconds": 60}}, actor="a")
        html = staff.get(QUEUES).content.decode()
        for text in ("RATE 1", "1 / 4", "5 min", "never", "at most 4 · starts 7 in 60 s"):
            assert text in html, text

    def test_pauses_and_resumes_queues_without_a_row(self, staff: Client) -> None:
        for name in ("one", "two"):
            make_task(queue=name)
        assert act(staff, "pause_selected", "one", "two") == "2 queues paused: one, two."
        assert Queue.objects.filter(paused_by="user:maria").count() == 2
        assert act(staff, "resume_selected", "one", "two").endswith("2 queues resumed: one, two.")

    def test_acts_under_its_filters_only(self, staff: Client) -> None:
        make_task(queue="one")
        make_task(queue="two")
        assert "1 queue paused: one." in act(staff, "pause_selected", "one", "two", query="q=ONE")
        assert "resumed: one." in act(staff, "resume_selected", "one", "two", query="state=paused")

    def test_does_nothing_to_what_is_no_queue(self, staff: Client) -> None:
        act(staff, "pause_selected", "no spaces", "ü", "x" * 101, SCRIPT)
        assert not Queue.objects.exists()

    def test_costs_as_many_statements_for_many_queues_as_for_few(self, staff: Client) -> None:
        make_task(queue="q")
        few = statements(staff, QUEUES)
        for n in range(60):
            make_task(queue=f"q{n}")
        assert statements(staff, QUEUES) <= few <= 15


def statements(client: Client, url: str) -> int:
    client.get(url)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    return len(queries)


class TestPage:
    def test_of_a_queue_that_nobody_uses_is_there(self, staff: Client) -> None:
        assert "None: its tasks start" in page(staff, "nobody").content.decode()
        assert page(staff, "no spaces").status_code == 302

    def test_says_what_is_in_it(self, staff: Client) -> None:
        edit_queue("q", {"maxConcurrency": 4, "rateLimit": {"limit": 7, "periodSeconds": 60}}, actor="a")
        make_task(queue="q", gate=Gate.RATE)
        make_task(queue="q", status=TaskStatus.RUNNING)
        context = page(staff, "q").context
        assert dict(context["stats"]) | {"Waiting": "1", "Running": "1", "Due": "0"} == dict(context["stats"])
        assert context["gates"] == [("a token of a rate", "1")]
        assert context["facts"] == [("At most", "4"), ("Starts", "7 in 60 s, and at once 0")]
        assert [(name, tokens) for name, tokens, _ in context["rates"]] == [("The rate of this queue", "1")]

    def test_says_when_the_next_token_comes(self, staff: Client) -> None:
        edit_queue("q", {"rateLimit": {"limit": 1, "periodSeconds": 600}}, actor="a")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE buckets SET full_at = now() + interval '9 minutes'")
        html = page(staff, "q").content.decode()
        assert "0 now, the next" in html
        assert "in 8 min" in html or "in 9 min" in html

    def test_shows_who_holds_the_busiest_keys(self, staff: Client) -> None:
        edit_queue("q", {"perKey": {"maxConcurrency": 9}}, actor="a")
        tasks = [
            make_task(queue="q", concurrency_key="k", status=TaskStatus.RUNNING, key_slot=slot) for slot in range(7)
        ]
        make_task(queue="q", concurrency_key="other", status=TaskStatus.RUNNING)
        make_task(queue="q", concurrency_key="k")
        html = page(staff, "q").content.decode()
        assert [str(task.pk) in html for task in tasks] == [True] * 5 + [False] * 2
        assert "and 2 more" in html
        assert "7 / 9" in html

    def test_shows_no_task_to_who_may_not_see_tasks(self, client: Client) -> None:
        task = make_task(queue="q", concurrency_key="k", status=TaskStatus.RUNNING)
        sign_in(client, "view_queue")
        html = page(client, "q").content.decode()
        assert "1 / 1" in html
        assert str(task.pk) not in html

    def test_shows_keys_in_stretches(self, staff: Client) -> None:
        for n in range(MOST_KEYS + 2):
            QueueKey.objects.create(queue="q", key=f"k{n:03}", weight=2)
        first = page(staff, "q")
        assert [key["row"].key for key in first.context["keys"]] == [f"k{n:03}" for n in range(MOST_KEYS)]
        further = page(staff, "q", first.context["keys_after"].partition("#")[0])
        assert [key["row"].key for key in further.context["keys"]] == ["k050", "k051"]
        assert further.context["keys_after"] == ""
        assert page(staff, "q", "?after=zzz").context["keys"] == []
        assert page(staff, "q", "?after=%00").status_code == 400

    def test_shows_shares_only_where_tenants_share(self, staff: Client) -> None:
        assert "Entitled" not in page(staff, "q").content.decode()
        edit_queue("q", {"fairBy": "createdBy"}, actor="a")
        assert "Nobody has used any" in page(staff, "q").content.decode()
        task = make_task(queue="q", created_by=f"key:{SCRIPT}", status=TaskStatus.SUCCESS)
        make_execution(task, started_at=timezone.now() - timedelta(minutes=30))
        html = page(staff, "q").content.decode()
        assert "Entitled" in html
        assert SCRIPT not in html

    def test_escapes_what_strangers_have_named(self, staff: Client) -> None:
        for key in (SCRIPT, "x" * 200, '"onmouseover="alert(1)', "../../", "ключ 日本"):
            set_key("q", key, {"weight": 3, "paused": True}, actor="a")
            make_task(queue="q", concurrency_key=key, status=TaskStatus.RUNNING)
        QueueKey.objects.create(queue="q", key=TURNED)
        html = page(staff, "q").content.decode()
        assert SCRIPT not in html
        assert '"onmouseover' not in html
        assert "⟨U+202E⟩" in html

    def test_is_read_and_not_changed_with_view_permission(self, client: Client) -> None:
        set_key("q", "k", {"weight": 3}, actor="a")
        pause_queue("q", actor="a")
        sign_in(client, "view_queue")
        html = page(client, "q").content.decode()
        assert {action for action, _ in forms_of(html)} <= {"/admin/logout/", ""}
        assert "../key/" not in html
        for word in ("pause", "resume", "edit", "key", "unset_key"):
            assert client.post(f"{QUEUES}q/{word}/", {"key": "k", "version": "1"}).status_code == 403
        assert client.get(f"{QUEUES}q/key/").status_code == 403
        assert QueueKey.objects.get().version == 1

    def test_costs_as_many_statements_for_many_keys_as_for_few(self, staff: Client) -> None:
        edit_queue("q", {"fairBy": "fairKey"}, actor="a")
        set_key("q", "k", {"weight": 3}, actor="a")
        make_task(queue="q", concurrency_key="k", status=TaskStatus.RUNNING)
        few = statements(staff, f"{QUEUES}q/change/")
        for n in range(30):
            set_key("q", f"k{n}", {"weight": 3}, actor="a")
            make_task(queue="q", concurrency_key=f"k{n}", status=TaskStatus.RUNNING)
        assert statements(staff, f"{QUEUES}q/change/") <= few <= 30

    def test_resumes_no_queue_that_nobody_paused(self, staff: Client) -> None:
        assert said(staff.post(f"{QUEUES}nobody/resume/", {})) == "Nobody has paused the queue nobody."
        assert not Queue.objects.exists()


class TestQueueRulesForm:
    def test_has_a_field_for_each_column_of_each_rule(self) -> None:
        columns = {part.column for rule in RULES for part in rule.parts}
        assert set(QueueRulesForm().fields) == {"version", *columns}

    def test_calls_no_two_fields_the_same(self) -> None:
        labels = [field.label for field in QueueRulesForm().fields.values()]
        assert len(set(labels)) == len(labels)

    def test_of_an_old_page_is_refused(self, staff: Client) -> None:
        old = forms_of(page(staff, "q").content.decode())
        [fields] = [fields for action, fields in old if action.startswith("../edit/")]
        assert staff.post(f"{QUEUES}q/edit/", fields | {"max_concurrency": "3"}).status_code == 302
        refused = staff.post(f"{QUEUES}q/edit/", fields | {"max_concurrency": "5"})
        assert refused.status_code == 422
        assert "Somebody changed this queue" in refused.content.decode()
        assert Queue.objects.get().max_concurrency == 3


class TestKeys:
    def test_are_set_changed_and_removed(self, staff: Client) -> None:
        sent = {"key": "shop/7 ", "max_concurrency": "8", "weight": "2", "version": "0"}
        assert "saved" in said(staff.post(f"{QUEUES}q/key/", sent))
        row = QueueKey.objects.get()
        assert (row.key, row.max_concurrency, row.weight, row.paused) == ("shop/7 ", 8, 2, False)
        address = f"{QUEUES}q/key/?key=shop%2F7%20"
        assert send_untouched(staff, address).status_code == 302
        assert QueueKey.objects.get().version == 1
        changed = staff.post(address, {"key": "shop/7 ", "weight": "2", "paused": "on", "version": "1"})
        assert changed.status_code == 302
        row.refresh_from_db()
        assert (row.max_concurrency, row.paused, row.version) == (None, True, 2)
        assert "as usual again" in said(staff.post(f"{QUEUES}q/unset_key/", {"key": "shop/7 ", "version": "2"}))
        assert not QueueKey.objects.exists()
        events = AuditEvent.objects.filter(actor="user:maria").order_by("id").values_list("action", flat=True)
        assert list(events) == ["queue.key_set", "queue.key_set", "queue.key_unset"]

    def test_take_back_what_has_not_started_when_they_are_paused(self, staff: Client) -> None:
        task = make_task(queue="q", concurrency_key="k", status=TaskStatus.SCHEDULED)
        staff.post(f"{QUEUES}q/key/", {"key": "k", "weight": "1", "paused": "on", "version": "0"})
        task.refresh_from_db()
        assert task.status == TaskStatus.PENDING

    def test_form_covers_all_that_can_be_set(self) -> None:
        assert set(KeyForm().fields) == {"key", "version", *USUAL}

    @pytest.mark.parametrize("version", ["0", "2", "", "-1", "x", "9" * 30])
    def test_of_an_old_page_are_left_alone(self, staff: Client, version: str) -> None:
        set_key("q", "k", {"weight": 3}, actor="a")
        refused = staff.post(f"{QUEUES}q/key/", {"key": "k", "weight": "5", "version": version})
        assert refused.status_code == 422
        assert "changed since you looked" in said(staff.post(f"{QUEUES}q/unset_key/", {"key": "k", "version": version}))
        assert QueueKey.objects.get().weight == 3

    def test_that_somebody_removed_meanwhile_do_not_come_back(self, staff: Client) -> None:
        refused = staff.post(f"{QUEUES}q/key/", {"key": "k", "weight": "5", "version": "1"})
        assert "it is as usual now" in refused.content.decode()
        assert "changed since" in said(staff.post(f"{QUEUES}q/unset_key/", {"key": "k", "version": "1"}))
        assert not QueueKey.objects.exists()

    @pytest.mark.parametrize(
        ("fields", "at"),
        [
            ({"key": ""}, "key"),
            ({"key": "a\0b"}, "key"),
            ({"key": TURNED}, "key"),
            ({"key": "x" * 201}, "key"),
            ({"key": "a\nb"}, "key"),
            ({"max_concurrency": "0"}, "max_concurrency"),
            ({"max_concurrency": "1001"}, "max_concurrency"),
            ({"max_concurrency": "1e3"}, "max_concurrency"),
            ({"weight": ""}, "weight"),
            ({"weight": "0"}, "weight"),
            ({"weight": "9" * 5000}, "weight"),
        ],
    )
    def test_are_refused_where_they_are_wrong(self, staff: Client, fields: dict[str, str], at: str) -> None:
        response = staff.post(f"{QUEUES}q/key/", {"key": "k", "weight": "1", "version": "0"} | fields)
        assert (response.status_code, list(response.context["form"].errors)) == (422, [at])
        assert not QueueKey.objects.exists()

    @pytest.mark.parametrize("key", ["", "x" * 999, "%F0%9F", "%3Cscript%3E", "%E2%80%AE"])
    def test_of_odd_addresses_get_a_form(self, staff: Client, key: str) -> None:
        assert staff.get(f"{QUEUES}q/key/?key={key}").status_code == 200

    @pytest.mark.parametrize("key", ["", "\0", "a\0b", "x" * 9999, "\u202e", "never set"])
    def test_that_cannot_be_are_not_removed(self, staff: Client, key: str) -> None:
        assert "changed since" in said(staff.post(f"{QUEUES}q/unset_key/", {"key": key, "version": "1"}))
