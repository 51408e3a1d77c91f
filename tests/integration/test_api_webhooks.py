"""``/webhook-endpoints`` and ``/deliveries``: who is told of ends, what was sent, and once more."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from access_app.models import AuditEvent
from scheduler_project.openapi import document
from tasks_app import notices
from tasks_app.models import Task
from tasks_app.services import cancel_task
from tests.factories import make_key, make_task
from tests.support.api import Api, fields_of, problem_of, validator
from tests.support.webhooks import EVERY, make_delivery, make_endpoint
from workflows_app.callbacks.redelivering import MOST_REPLAYED
from workflows_app.callbacks.tables import Delivery, WebhookEndpoint

#: The id of no endpoint.
NOBODY = UUID(int=7)
NEW = {"name": "on-call", "url": "https://hooks.example.com/tasks", "on": ["task.failed"], "queues": ["billing"]}


class TestEndpoints:
    def test_are_made_with_a_secret_that_is_shown_once(self, api: Api) -> None:
        made = api.post("/webhook-endpoints", NEW)
        assert (made.status_code, made["ETag"]) == (201, '"1"')
        endpoint = made.json()
        secret = endpoint.pop("secret")
        assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret)
        assert endpoint.items() >= {**NEW, "enabled": True, "ordered": False, "include": None, "version": 1}.items()
        assert api.get(made["Location"]).json() == endpoint
        assert api.get("/webhook-endpoints?name=on-call").json()["content"] == [endpoint]
        assert secret[6:] not in str(AuditEvent.objects.values_list())

    def test_are_edited_by_the_version_the_caller_has_seen(self, api: Api) -> None:
        at = api.post("/webhook-endpoints", NEW)["Location"]
        changed = api.patch(at, {"on": EVERY, "queues": None, "include": "result", "ordered": True}, If_Match='"1"')
        assert (changed.status_code, changed["ETag"]) == (200, '"2"')
        assert changed.json()["on"] == EVERY
        problem_of(api.patch(at, {"ordered": False}, If_Match='"1"'), 412)
        problem_of(api.delete(at, If_Match='"1"'), 412)
        assert api.patch(at, {"ordered": True})["ETag"] == '"2"'
        assert api.delete(at).status_code == 204
        problem_of(api.get(at), 404)

    def test_are_disabled_and_enabled(self, api: Api) -> None:
        at = api.post("/webhook-endpoints", NEW)["Location"]
        off = api.patch(at, {"enabled": False}).json()
        assert (off["enabled"], off["disabled"], off["disabledAt"] is None) == (False, "by_hand", False)
        on = api.patch(at, {"enabled": True}).json()
        assert (on["enabled"], on["disabled"], on["disabledAt"]) == (True, None, None)

    def test_have_their_secret_rotated(self, api: Api) -> None:
        made = api.post("/webhook-endpoints", NEW)
        turned = api.post(f"{made['Location']}/rotate", {"overlapSeconds": 3600})
        assert turned.json()["secret"] != made.json()["secret"]
        assert turned.json()["previousSecretUntil"] is not None
        assert api.post(f"{made['Location']}/rotate").json()["version"] == 3
        assert api.post(f"{made['Location']}/rotate", {"overlapSeconds": 0}).json()["previousSecretUntil"] is None

    def test_are_audited(self, api: Api) -> None:
        at = api.post("/webhook-endpoints", NEW)["Location"]
        api.patch(at, {"name": "renamed"})
        api.patch(at, {"name": "renamed"})
        api.post(f"{at}/rotate")
        api.post(f"{at}/replay", {"from": "2026-01-01T00:00:00Z"})
        api.delete(at)
        events = AuditEvent.objects.filter(actor="caller").order_by("id").values_list("action", "target")
        names = ("created", "on-call"), ("edited", "renamed"), ("rotated", "renamed"), ("replayed", "renamed")
        assert list(events) == [
            (f"endpoint.{action}", f"endpoint:{name}") for action, name in (*names, ("deleted", "renamed"))
        ]

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({}, {"name", "url", "on"}),
            ({**NEW, "name": "a b"}, {"name"}),
            ({**NEW, "name": 7}, {"name"}),
            ({**NEW, "url": "ftp://a.example"}, {"url"}),
            ({**NEW, "url": "https://u:p@a.example"}, {"url"}),
            ({**NEW, "on": ["task.ended"]}, {"on"}),
            ({**NEW, "on": "task.failed"}, {"on"}),
            ({**NEW, "on": None}, {"on"}),
            ({**NEW, "queues": []}, {"queues"}),
            ({**NEW, "queues": ["a b"]}, {"queues"}),
            ({**NEW, "queues": ["q"] * 101}, {"queues"}),
            ({**NEW, "include": "all"}, {"include"}),
            ({**NEW, "ordered": 1}, {"ordered"}),
            ({**NEW, "secret": "whsec_x"}, {"secret"}),
            ({**NEW, "nope": 1}, {"nope"}),
        ],
    )
    def test_name_what_is_wrong(self, api: Api, body: Any, fields: set[str]) -> None:
        assert fields_of(api.post("/webhook-endpoints", body)) == fields

    def test_have_names_of_their_own(self, api: Api) -> None:
        api.post("/webhook-endpoints", NEW)
        assert fields_of(api.post("/webhook-endpoints", NEW), 409) == {"name"}
        at = api.post("/webhook-endpoints", {**NEW, "name": "other"})["Location"]
        problem_of(api.patch(at, {"name": "on-call"}), 409)

    def test_are_not_more_than_so_many(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("workflows_app.callbacks.endpoints.MOST_ENDPOINTS", 1)
        api.post("/webhook-endpoints", NEW)
        assert fields_of(api.post("/webhook-endpoints", {**NEW, "name": "other"})) == {"name"}

    @pytest.mark.parametrize("path", ["/x", f"/{NOBODY}", f"/{NOBODY}/rotate", f"/{NOBODY}/replay"])
    def test_of_an_id_that_none_has_do_not_exist(self, api: Api, path: str) -> None:
        at = f"/webhook-endpoints{path}"
        window = {"from": "2026-01-01T00:00:00Z"} if "replay" in path else None
        problem_of(api.post(at, window) if path.endswith(("rotate", "replay")) else api.get(at), 404)

    def test_are_for_administrators_and_seen_by_who_reads_tasks(self, db: None) -> None:
        endpoint, _ = make_endpoint()
        reader, writer = Api(make_key("tasks:read")), Api(make_key("tasks:read", "tasks:write"))
        assert reader.get(f"/webhook-endpoints/{endpoint.pk}").status_code == 200
        for api in (reader, writer):
            problem_of(api.post("/webhook-endpoints", NEW), 403)
            problem_of(api.post(f"/webhook-endpoints/{endpoint.pk}/rotate"), 403)


class TestTasks:
    def test_name_an_endpoint_or_a_url(self, api: Api) -> None:
        make_endpoint("billing")
        callback = {"endpoint": "billing", "on": ["failed"], "include": "result"}
        made = api.post("/tasks", {"type": "DUMMY", "callback": callback})
        assert made.json()["callback"] == callback
        assert fields_of(api.post("/tasks", {"type": "DUMMY", "callback": {"endpoint": "x"}})) == {"callback.endpoint"}
        assert fields_of(api.post("/tasks", {"type": "DUMMY", "callback": {}})) == {"callback.url"}
        changed = api.patch(made["Location"], {"callback": {"url": "https://a.example/"}})
        assert changed.json()["callback"] == {"url": "https://a.example/"}
        clone = api.post(f"{made['Location']}/clone").json()
        assert (clone["callback"], Task.objects.get(pk=clone["id"]).notifies) == (changed.json()["callback"], True)

    def test_may_have_times_of_retries_of_their_own(self, api: Api) -> None:
        retry = {"backoff": "schedule", "delaysMs": [5000, 300_000]}
        shown = api.post("/tasks", {"type": "DUMMY", "retry": retry}).json()["retry"]
        assert shown == {**retry, "baseDelayMs": 5000, "maxDelayMs": 300_000, "jitter": True}


class TestDeliveries:
    def test_are_listed_by_endpoint_task_and_status(self, api: Api) -> None:
        endpoint, _ = make_endpoint()
        one, two = make_delivery(endpoint), make_delivery(status="PENDING")
        shown = api.get(f"/deliveries/{one.pk}").json()
        assert shown.items() >= {"endpoint": "e", "status": "FAILED", "attempt": 1, "webhookId": "msg_1"}.items()

        def found(query: str) -> list[str]:
            return [each["id"] for each in api.get(f"/deliveries?{query}").json()["content"]]

        assert found("") == [str(two.pk), str(one.pk)]
        assert found(f"endpoint={endpoint.pk}") == [str(one.pk)]
        assert found(f"taskId={two.source_id}") == [str(two.pk)]
        assert found("status=PENDING") == found("status=PENDING&status=RUNNING") == [str(two.pk)]
        assert found("status=FAILED") == found("status=FAILED&status=SUCCESS") == [str(one.pk)]
        first = api.get("/deliveries?cursor=&size=1").json()
        assert api.get(f"/deliveries?cursor={first['next']}&size=1").json()["content"][0]["id"] == str(one.pk)
        assert fields_of(api.get("/deliveries?status=NOPE&endpoint=x")) == {"status", "endpoint"}

    def test_are_sent_once_more_under_the_id_of_their_message(self, api: Api) -> None:
        endpoint, _ = make_endpoint(url="https://new.example/")
        before = make_delivery(endpoint)
        made = api.post(f"/deliveries/{before.pk}/redeliver")
        assert made.status_code == 201
        again = made.json()
        assert (again["webhookId"], again["redelivers"], again["status"]) == ("msg_1", str(before.pk), "PENDING")
        assert again["url"] == "https://new.example/"
        assert api.get(made["Location"]).json() == again
        assert Task.objects.get(pk=again["id"]).notifies
        assert AuditEvent.objects.get(action="delivery.redelivered").actor == "caller"

    @pytest.mark.parametrize("why", ["on its way", "disabled", "deleted", "changed"])
    def test_are_not_sent_when_that_makes_no_sense(self, api: Api, why: str) -> None:
        endpoint, _ = make_endpoint(enabled=why != "disabled")
        before = make_delivery(endpoint, status="PENDING" if why == "on its way" else "FAILED")
        if why == "deleted":
            endpoint.delete()
        if why == "changed":
            Task.objects.filter(pk=before.pk).update(payload={"url": "https://a.example", "body": "x"})
        problem = problem_of(api.post(f"/deliveries/{before.pk}/redeliver"), 409)
        assert why in problem["detail"]

    def test_whose_task_was_deleted_do_not_exist(self, api: Api) -> None:
        delivery = make_delivery()
        Task.objects.all().delete()
        problem_of(api.get(f"/deliveries/{delivery.pk}"), 404)
        problem_of(api.post(f"/deliveries/{delivery.pk}/redeliver"), 404)


class TestFindEndings:
    """Replays: of all ends of a time."""

    def ended(self, minute: int, **columns: Any) -> Task:
        at = datetime(2026, 1, 1, 0, minute, tzinfo=UTC)
        return make_task(status="FAILED", **{"finished_at": at, "attempt": 1, **columns})

    def replay(self, api: Api, endpoint: WebhookEndpoint, **more: Any) -> Any:
        window = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T01:00:00Z"}
        return api.post(f"/webhook-endpoints/{endpoint.pk}/replay", window | more)

    def test_tells_of_what_it_hears_of_in_order_and_at_a_rate(self, api: Api) -> None:
        endpoint, _ = make_endpoint(on=["task.failed"], queues=["billing"])
        second, first = self.ended(2, queue="billing"), self.ended(1, queue="billing")
        named = self.ended(3, callback={"endpoint": "e"})
        for other in ({"queue": "other"}, {"queue": "billing", "finished_at": datetime(2026, 1, 2, tzinfo=UTC)}):
            self.ended(4, **other)
        make_task(status="SUCCESS", queue="billing", finished_at=first.finished_at)
        answer = self.replay(api, endpoint, ratePerSecond=0.5)
        assert (answer.status_code, answer.json()) == (202, {"count": 3})
        made = list(Delivery.objects.select_related("task").order_by("task__run_at"))
        assert [each.source_id for each in made] == [first.pk, second.pk, named.pk]
        gaps = [after.task.run_at - before.task.run_at for before, after in pairwise(made)]
        assert all(timedelta(seconds=1.9) < gap < timedelta(seconds=2.1) for gap in gaps)

    def test_keeps_the_ids_of_messages(self, api: Api) -> None:
        endpoint, _ = make_endpoint()
        self.ended(1)
        for _ in range(2):
            self.replay(api, endpoint)
        made = Delivery.objects.all()
        assert (len(made), len({each.webhook_id for each in made})) == (2, 1)

    def test_tells_nobody_of_deliveries(self, api: Api) -> None:
        endpoint, _ = make_endpoint()
        delivery = make_delivery(endpoint)
        Task.objects.filter(pk=delivery.pk).update(finished_at=datetime(2026, 1, 1, 0, 5, tzinfo=UTC))
        assert self.replay(api, endpoint).json() == {"count": 0}

    def test_is_not_endless(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("workflows_app.callbacks.redelivering.MOST_REPLAYED", 1)
        endpoint, _ = make_endpoint()
        self.ended(1)
        assert self.replay(api, endpoint).status_code == 202
        self.ended(2)
        assert fields_of(self.replay(api, endpoint)) == {"to"}
        assert MOST_REPLAYED == 10_000

    @pytest.mark.parametrize(
        ("more", "field"),
        [
            ({"from": "2026-01-01"}, "from"),
            ({"to": "2026-01-01T00:00:00Z"}, "to"),
            ({"ratePerSecond": 0}, "ratePerSecond"),
            ({"ratePerSecond": 1001}, "ratePerSecond"),
            ({"ratePerSecond": True}, "ratePerSecond"),
            ({"ratePerSecond": "10"}, "ratePerSecond"),
            ({"nope": 1}, "nope"),
        ],
    )
    def test_names_what_is_wrong(self, api: Api, more: dict[str, Any], field: str) -> None:
        endpoint, _ = make_endpoint()
        assert fields_of(self.replay(api, endpoint, **more)) == {field}

    def test_is_not_for_a_disabled_endpoint(self, api: Api) -> None:
        endpoint, _ = make_endpoint(enabled=False)
        problem_of(self.replay(api, endpoint), 409)


def test_messages_are_as_the_document_says(api: Api) -> None:
    make_endpoint(include="result")
    task = make_task(callback={"url": "https://a.example/"}, notifies=True, has_dependents=True)
    cancel_task(task.pk, actor="test")
    with connection.cursor() as cursor:
        notices.tell_now(cursor, [task.pk])
    bodies = [json.loads(each.task.payload["body"]) for each in Delivery.objects.select_related("task")]
    assert len(bodies) == 2
    for body in bodies:
        validator(document()["components"]["schemas"]["WebhookMessage"]).validate(body)


class TestPages:
    @pytest.fixture
    def staff(self, db: None) -> Client:
        client = Client()
        client.force_login(User.objects.create_superuser("root"))
        return client

    def test_show_a_secret_once(self, staff: Client) -> None:
        form = {"name": "e", "url": "https://a.example/?token=hidden", "events": EVERY, "queues": "a, b"}
        made = staff.post(reverse("admin:workflows_app_webhookendpoint_add"), form)
        assert made.status_code == 201
        [secret] = re.findall(r"whsec_[A-Za-z0-9+/]{43}=", made.content.decode())
        endpoint = WebhookEndpoint.objects.get()
        assert (endpoint.queues, endpoint.events) == (["a", "b"], EVERY)
        pages = [reverse("admin:workflows_app_webhookendpoint_changelist")]
        pages += [reverse("admin:workflows_app_webhookendpoint_change", args=[endpoint.pk])]
        for page in pages:
            assert secret not in staff.get(page).content.decode()
        turned = staff.post(reverse("admin:workflows_app_webhookendpoint_rotate", args=[endpoint.pk]))
        assert "whsec_" in turned.content.decode()

    def test_refuse_what_the_api_refuses(self, staff: Client) -> None:
        refused = staff.post(reverse("admin:workflows_app_webhookendpoint_add"), {"name": "a b", "url": "ftp://a"})
        assert refused.status_code == 422
        assert not WebhookEndpoint.objects.exists()

    def test_of_two_tabs_the_second_changes_nothing(self, staff: Client) -> None:
        endpoint, _ = make_endpoint()
        at = reverse("admin:workflows_app_webhookendpoint_edit", args=[endpoint.pk])
        form = {"name": "renamed", "url": "https://a.example/", "version": "1"}
        assert staff.post(at, form).status_code == 302
        second = staff.post(at, {**form, "name": "other"})
        assert (second.status_code, "meanwhile" in second.content.decode()) == (422, True)
        assert WebhookEndpoint.objects.get().name == "renamed"

    def test_list_deliveries_by_status(self, staff: Client) -> None:
        make_delivery(status="FAILED")
        make_delivery(status="PENDING")
        at = reverse("admin:workflows_app_delivery_changelist")
        for status, count in (("", 2), ("FAILED", 1), ("PENDING", 1), ("SUCCESS", 0)):
            page = staff.get(at, {"status": status} if status else {}).content.decode()
            assert page.count("task.failed") == count, status

    def test_send_a_delivery_once_more(self, staff: Client) -> None:
        endpoint, _ = make_endpoint()
        delivery = make_delivery(endpoint)
        page = staff.get(reverse("admin:workflows_app_delivery_change", args=[delivery.pk])).content.decode()
        assert "Send once more" in page
        staff.post(reverse("admin:workflows_app_delivery_redeliver", args=[delivery.pk]))
        assert Delivery.objects.filter(redelivers=delivery.pk).count() == 1
        listed = staff.get(reverse("admin:workflows_app_delivery_changelist"), {"endpoint": str(endpoint.pk)})
        assert listed.content.decode().count("task.failed") == 2
