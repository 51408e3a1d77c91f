"""Who may decide about a task that waits for an approval: over HTTP, in the admin, and under which names."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db.models.functions import Now
from django.test import Client

from access_app.keys import create_key
from access_app.models import AuditEvent
from access_app.rights import KeyCaller, Person, Refused
from tasks_app import deciding, services
from tasks_app.approving import refusal
from tasks_app.models import Task
from tasks_app.states import Gate
from tests.factories import make_key, make_task
from tests.support.api import Api, fields_of, problem_of
from tests.support.people import said, sign_in

pytestmark = pytest.mark.django_db

ADMIN = KeyCaller("boss", frozenset({"admin"}))
ASKED: dict[str, Any] = {
    "type": "DUMMY",
    "approval": {"of": "scope:admin", "timeoutSeconds": 3600, "note": "release 7"},
}
TASKS = "/admin/tasks_app/task/"


@pytest.fixture
def boss() -> Api:
    """Another key, with the scope that approves."""
    return Api(make_key("admin", "tasks:write", "tasks:read", name="boss"))


def made(api: Api, **more: Any) -> str:
    response = api.post("/tasks", ASKED | more)
    assert response.status_code == 201, response.content
    return f"/tasks/{response.json()['id']}"


class TestApi:
    def test_approves_once_and_says_who_and_why(self, api: Api, boss: Api) -> None:
        path = made(api)
        answer = boss.post(f"{path}/approve", {"reason": "checked"})
        assert (answer.status_code, answer.json()["status"], answer["ETag"]) == (200, "PENDING", '"2"')
        events = api.get(f"{path}/events").json()["content"][1:]
        assert [(event["actor"], event["reason"]) for event in events] == [("boss", "checked")]
        for word in ("approve", "reject"):
            assert problem_of(boss.post(f"{path}/{word}"), 409)["type"].endswith("illegal-transition")

    def test_rejects_by_name(self, api: Api, boss: Api) -> None:
        task = boss.post(f"{made(api)}/reject", {"reason": "too late"}).json()
        assert (task["status"], task["error"]["code"]) == ("CANCELLED", "REJECTED")

    def test_tells_why_a_task_waits(self, api: Api) -> None:
        path = made(api)
        [reason] = [each for each in api.get(f"{path}/why").json()["reasons"] if each["code"] == "APPROVAL"]
        assert reason["detail"].startswith("waits for the approval of who holds the scope admin, since 2")
        assert "it is cancelled at 2" in reason["detail"]
        assert reason["detail"].endswith(": release 7")
        assert reason["until"] is not None
        assert reason["links"] == {"approve": f"{path}/approve", "reject": f"{path}/reject"}
        assert api.get("/queues/default").json()["gates"] == {"APPROVAL": 1}

    @pytest.mark.parametrize("word", ["approve", "reject"])
    def test_refuses_who_may_not_and_who_has_asked(self, api: Api, word: str) -> None:
        path = made(api)
        other = Api(make_key("tasks:write", name="other"))
        assert "scope admin" in problem_of(other.post(f"{path}/{word}"), 403)["detail"]
        assert "Somebody else" in problem_of(api.post(f"{path}/{word}"), 403)["detail"]
        assert Task.objects.get().version == 1

    def test_heeds_what_was_looked_at(self, api: Api, boss: Api) -> None:
        path = made(api)
        assert api.patch(path, {"payload": {"sleepDurationMs": 9}}).status_code == 200
        assert boss.post(f"{path}/approve", If_Match='"1"').status_code == 412
        assert boss.post(f"{path}/approve", If_Match='"2"').status_code == 200

    @pytest.mark.parametrize("body", [{"reason": 7}, {"reason": "a\nb"}, {"why": "x"}])
    def test_names_what_is_wrong_with_a_decision(self, api: Api, boss: Api, body: Any) -> None:
        assert fields_of(boss.post(f"{made(api)}/approve", body)) == set(body)

    @pytest.mark.parametrize("bulk", [False, True])
    def test_refuses_a_group_that_there_is_not(self, api: Api, bulk: bool) -> None:
        body = ASKED | {"approval": {"of": "group:nobody"}}
        sent = ("/tasks/bulk?atomic=true", {"tasks": [body]}) if bulk else ("/tasks", body)
        assert fields_of(api.post(*sent)) == {"approval.of"}
        assert not Task.objects.exists()
        Group.objects.create(name="nobody")
        assert api.post(*sent).status_code == 201

    @pytest.mark.parametrize(
        ("path", "asked", "field"),
        [
            ("/schedules", {"name": "s", "cron": "0 4 * * *"}, "task"),
            ("/batches", {"name": "b", "tasks": [{"type": "DUMMY"}]}, "onSuccess"),
        ],
    )
    def test_refuses_it_in_templates_and_follow_ups(self, api: Api, path: str, asked: Any, field: str) -> None:
        body = ASKED | {"approval": {"of": "group:nobody"}}
        assert fields_of(api.post(path, asked | {field: body})) == {f"{field}.approval.of"}
        assert api.post(path, asked | {field: ASKED}).status_code == 201

    def test_asks_for_each_slot_of_a_schedule(self, api: Api, boss: Api) -> None:
        schedule = api.post("/schedules", {"name": "s", "cron": "0 4 * * *", "task": ASKED}).json()["id"]
        assert api.post(f"/schedules/{schedule}/trigger").status_code == 201
        task = Task.objects.get()
        assert (task.gate, task.approval_ends_at is None) == (Gate.APPROVAL, False)
        assert boss.post(f"/tasks/{task.pk}/approve").status_code == 200


def waiting(of: str = "scope:admin", *, created_by: str = "test", **approval: Any) -> Task:
    asked = {"gate": Gate.APPROVAL, "approval": {"of": of} | approval, "approval_asked_at": Now()}
    return make_task(created_by=created_by, **asked)


class TestPage:
    def test_offers_both_to_who_may_decide_and_does_what_was_shown(self, staff: Client) -> None:
        task = waiting()
        page = f"{TASKS}{task.pk}"
        assert {"approve", "reject"} <= staff.get(f"{page}/change/").context["offered"]
        services.edit_task(task.pk, {"timeout_ms": 9}, actor="somebody")
        assert "changed since you looked" in said(staff.post(f"{page}/approve/", {"version": "1"}))
        assert "1 task approved" in said(staff.post(f"{page}/approve/", {"version": "2", "reason": "seen"}))
        assert AuditEvent.objects.latest("id").reason == "seen"
        assert "no longer" in said(staff.post(f"{page}/approve/"))
        assert not {"approve", "reject"} & staff.get(f"{page}/change/").context["offered"]

    def test_rejects(self, staff: Client) -> None:
        assert "1 task rejected" in said(staff.post(f"{TASKS}{waiting().pk}/reject/", {"reason": "no"}))
        assert Task.objects.get().end_reason == "REJECTED"

    def test_refuses_others_whatever_they_post(self, client: Client) -> None:
        page = f"{TASKS}{waiting('group:release').pk}"
        sign_in(client, "view_task", "change_task")
        assert client.get(f"{page}/change/").context["offered"] == {"cancel"}
        for word in ("approve", "reject"):
            assert "belongs to the group release" in said(client.post(f"{page}/{word}/"))
        User.objects.get(username="victor").groups.add(Group.objects.create(name="release"))
        assert "1 task approved" in said(client.post(f"{page}/approve/"))

    def test_lists_what_waits_and_what_waits_for_the_viewer(self, client: Client) -> None:
        sign_in(client, "view_task")
        User.objects.get(username="victor").groups.add(Group.objects.create(name="release"))
        others, mine = waiting(), waiting("group:release")
        own = waiting("group:release", created_by="user:victor")
        may = waiting("group:release", created_by="user:victor", allowRequester=True)
        make_task(approval={"of": "group:release"})

        def listed(value: str) -> set[Any]:
            return {task.pk for task in client.get(TASKS, {"approval": value}).context["cl"].result_list}

        assert listed("waiting") == {each.pk for each in (others, mine, own, may)}
        assert listed("mine") == {mine.pk, may.pk}


class TestWhoMay:
    @pytest.fixture
    def maria(self) -> User:
        return User.objects.create_superuser("maria")

    @pytest.fixture
    def victor(self) -> User:
        return User.objects.create_user("victor", is_staff=True)

    def test_is_who_has_the_scope(self, maria: User, victor: User) -> None:
        task = waiting()
        assert refusal(ADMIN, task) is None
        assert refusal(Person(maria), task) is None
        for other in (KeyCaller("k", frozenset({"tasks:write"})), Person(victor)):
            assert refusal(other, task) == "Only who belongs to the scope admin may decide about this."

    def test_is_who_is_in_the_group_and_no_superuser_besides(self, maria: User, victor: User) -> None:
        victor.groups.add(Group.objects.create(name="release"))
        task = waiting("group:release")
        assert refusal(Person(victor), task) is None
        for other in (Person(maria), ADMIN, KeyCaller("victor", frozenset({"admin"}))):
            assert refusal(other, task) == "Only who belongs to the group release may decide about this."

    def test_is_not_who_has_asked_under_any_name(self, maria: User) -> None:
        for name in ("one", "two"):
            create_key(name, ["admin"], actor="user:maria", owner=maria)
        one, two = (KeyCaller(name, frozenset({"admin"})) for name in ("one", "two"))
        for asked_by in (one, two, Person(maria)):
            task = waiting(created_by=asked_by.name)
            for caller in (one, two, Person(maria)):
                assert "Somebody else" in str(refusal(caller, task))
            assert refusal(ADMIN, task) is None
        assert refusal(one, waiting(created_by="one", allowRequester=True)) is None

    def test_is_not_who_has_changed_it_or_had_it_run_again(self) -> None:
        edited, again = waiting(), waiting()
        services.edit_task(edited.pk, {"timeout_ms": 9}, actor="boss")
        services.cancel_task(again.pk, actor="other")
        services.retry_task(again.pk, actor="boss")
        for task in (edited, again):
            with pytest.raises(Refused, match="Somebody else"):
                deciding.approve_task(task.pk, caller=ADMIN)
            assert Task.objects.get(pk=task.pk).gate == Gate.APPROVAL

    def test_is_not_who_has_written_the_schedule(self) -> None:
        for actor, action in (("boss", "created"), ("chief", "paused")):
            AuditEvent.objects.create(actor=actor, action=f"schedule.{action}", target="schedule:nightly")
        task = waiting(created_by="schedule:nightly")
        assert "Somebody else" in str(refusal(ADMIN, task))
        assert refusal(KeyCaller("chief", frozenset({"admin"})), task) is None


class TestList:
    def test_finds_what_waits_behind_a_gate(self, boss: Api) -> None:
        asking = make_task(gate=Gate.APPROVAL, approval={"of": "scope:admin"}, approval_asked_at=Now())
        behind = {
            gate.name: make_task(gate=gate, concurrency_key="k", target="h")
            for gate in Gate
            if gate not in (Gate.OPEN, Gate.APPROVAL)
        }
        make_task()
        make_task(status="CANCELLED", gate=Gate.APPROVAL)
        for name, task in {"APPROVAL": asking, **behind}.items():
            found = boss.get(f"/tasks?gate={name}").json()["content"]
            assert [each["id"] for each in found] == [str(task.pk)], name
        assert fields_of(boss.get("/tasks?gate=OPEN")) == {"gate"}
