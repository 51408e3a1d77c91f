"""Who may do what: 401 before 403 before 404, keys and the admin's session."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db.models.functions import Now
from django.test import Client

from access_app.http.permissions import TableDecides
from access_app.keys import create_key, revoke_key
from access_app.models import ApiKey
from access_app.rights import Action, KeyCaller, Scope
from tests.factories import make_key, make_task, unknown_id
from tests.support.api import Api, problem_of

READS = [
    "/tasks",
    "/tasks/{id}",
    *(f"/tasks/{{id}}/{part}" for part in ("executions", "events", "dependencies", "inputs", "why")),
]
OPERATIONS: list[tuple[str, str, Any, str]] = [
    *[("GET", path, None, "tasks:read") for path in READS],
    ("POST", "/tasks", {"type": "DUMMY"}, "tasks:write"),
    ("POST", "/tasks/bulk", {"tasks": [{"type": "DUMMY"}]}, "tasks:write"),
    ("PATCH", "/tasks/{id}", {"priority": 1}, "tasks:write"),
    ("DELETE", "/tasks/{id}", None, "tasks:write"),
    ("POST", "/tasks/{id}/retry", None, "tasks:write"),
    ("POST", "/tasks/{id}/clone", None, "tasks:write"),
    ("POST", "/queues/q/pause", {}, "admin"),
    ("POST", "/queues/q/resume", None, "admin"),
    ("POST", "/workers/{id}/drain", None, "admin"),
]


class TestKeys:
    @pytest.mark.parametrize(
        "header",
        [
            "",
            "Bearer",
            "Bearer ",
            "Bearer ts_unknown",
            "Bearer tx_wrong",
            "Basic dXNlcjpwYXNz",
            "ts_bare",
            "Bearer ts_ü",
            "Bearer ts_" + "x" * 5000,
            "Bearer ts_a ts_b",
        ],
    )
    def test_a_bad_key_is_401_with_a_challenge(self, anonymous: Api, header: str) -> None:
        response = anonymous.get("/tasks", Authorization=header)
        assert problem_of(response, 401)["errors"] == []
        assert response["WWW-Authenticate"].startswith("Bearer")

    @pytest.mark.parametrize("path", ["/queues", "/queues/q"])
    def test_reads_queues_with_either_of_two_scopes(self, db: None, path: str) -> None:
        for scope in ("tasks:read", "admin"):
            assert Api(make_key(scope)).get(path).status_code == 200
        others = [scope for scope in Scope if scope not in ("tasks:read", "admin")]
        assert "tasks:read" in problem_of(Api(make_key(*others)).get(path), 403)["detail"]

    def test_the_scheme_may_be_written_in_any_case(self, db: None) -> None:
        assert Api(None).get("/tasks", Authorization=f"bEARER  {make_key()}").status_code == 200

    def test_a_revoked_or_expired_key_is_401(self, db: None) -> None:
        key, secret = create_key("k", ["tasks:read"], actor="test", expires_in=timedelta(days=1))
        assert Api(secret).get("/tasks").status_code == 200
        ApiKey.objects.filter(pk=key.pk).update(expires_at=Now())
        problem_of(Api(secret).get("/tasks"), 401)
        ApiKey.objects.filter(pk=key.pk).update(expires_at=None)
        revoke_key(key, actor="test")
        problem_of(Api(secret).get("/tasks"), 401)

    def test_costs_one_query(self, api: Api, django_assert_num_queries: Any) -> None:
        api.get("/tasks")  # notes when the key was last used, once a minute
        with django_assert_num_queries(2):
            api.get("/tasks")


class TestOrderOfRefusals:
    @pytest.mark.parametrize(("method", "path", "body", "scope"), OPERATIONS)
    def test_401_then_403_then_the_rest(self, db: None, method: str, path: str, body: Any, scope: str) -> None:
        path = path.format(id=make_task().pk)
        problem_of(Api(None).send(method, path, body), 401)
        others = [str(other) for other in Scope if other != scope]
        problem = problem_of(Api(make_key(*others)).send(method, path, body), 403)
        assert scope in problem["detail"]
        assert Api(make_key(scope)).send(method, path, body).status_code not in (401, 403)

    @pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
    @pytest.mark.parametrize("task", ["unknown", "not-a-uuid"])
    def test_401_and_403_come_before_404_and_400(self, db: None, method: str, task: str) -> None:
        path = f"/tasks/{unknown_id() if task == 'unknown' else task}?nope=1"
        problem_of(Api(None).send(method, path, b"{"), 401)
        problem_of(Api(make_key("admin")).send(method, path, b"{"), 403)

    def test_unknown_addresses_need_a_key_too(self, api: Api, anonymous: Api) -> None:
        for path in ("/nope", "/tasks/1/2/3", "/api/v1/tasks", "/%00", "/health/nope"):
            problem_of(anonymous.get(path), 401)
            problem_of(api.get(path), 404)

    def test_unknown_methods_need_a_key_too(self, api: Api, anonymous: Api) -> None:
        for method in ("PUT", "OPTIONS", "TRACE", "BREW"):
            problem_of(anonymous.send(method, "/tasks"), 401)
            problem_of(api.send(method, "/tasks"), 405)


class TestTableDecides:
    """A view that forgot to say what a method needs answers nobody, whatever their key."""

    @pytest.mark.parametrize(
        ("declared", "allowed"),
        [({"list": Action.TASK_READ}, True), ({"create": Action.TASK_READ}, False), ({}, False)],
    )
    def test_lets_nobody_use_what_is_not_declared(self, declared: dict[str, Action], allowed: bool) -> None:
        request = SimpleNamespace(auth=KeyCaller("caller", frozenset(Scope)), method="GET")
        view = SimpleNamespace(actions=declared, action="list", http_method_names=["get", "post"], get=print)
        assert TableDecides().has_permission(request, view) is allowed  # type: ignore[arg-type]


class TestAdminSession:
    @pytest.fixture
    def browser(self, db: None) -> Client:
        browser = Client(enforce_csrf_checks=True, raise_request_exception=False)
        browser.handler = Api(None).client.handler
        return browser

    def _send(self, browser: Client, method: str, path: str, *, csrf: bool = True) -> int:
        headers = {}
        if csrf and method != "GET":
            browser.cookies["csrftoken"] = "a" * 32
            headers["X-CSRFToken"] = "a" * 32
        body = b'{"type":"DUMMY"}' if path == "/tasks" else b""
        return browser.generic(method, path, body, "application/json", headers=headers).status_code

    def test_superusers_may_do_everything(self, browser: Client) -> None:
        browser.force_login(User.objects.create_superuser("root"))
        assert self._send(browser, "GET", "/tasks") == 200
        assert self._send(browser, "POST", "/tasks") == 201
        assert self._send(browser, "GET", "/queues") == 200
        [task] = browser.get("/tasks").json()["content"]
        assert task["createdBy"] == "user:root"

    def test_changes_need_the_csrf_token(self, browser: Client) -> None:
        browser.force_login(User.objects.create_superuser("root"))
        assert self._send(browser, "POST", "/tasks", csrf=False) == 403

    @pytest.mark.parametrize(
        ("permissions", "allowed"),
        [
            ((), set()),
            (("view_task",), {"GET /tasks", "GET /queues"}),
            (("add_task",), {"POST /tasks"}),
            (("change_task",), set()),
            (("view_queue",), {"GET /queues"}),
            (("change_queue", "change_worker"), set()),
        ],
    )
    def test_staff_may_do_what_their_permissions_say(
        self, browser: Client, permissions: tuple[str, ...], allowed: set[str]
    ) -> None:
        user = User.objects.create_user("staff", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        browser.force_login(user)
        operations = ("GET /tasks", "POST /tasks", "GET /queues")
        answers = {operation: self._send(browser, *operation.split()) for operation in operations}
        assert {operation for operation, status in answers.items() if status in (200, 201)} == allowed
        assert set(answers.values()) <= {200, 201, 403}

    @pytest.mark.parametrize(
        "backend", ["scheduler_project.accounts.backends.StaffBackend", "django.contrib.auth.backends.ModelBackend"]
    )
    def test_users_who_are_not_staff_are_nobody(self, browser: Client, settings: Any, backend: str) -> None:
        """Whoever lets them in: ours does not, but another project's may."""
        settings.AUTHENTICATION_BACKENDS = [backend]
        browser.force_login(User.objects.create_user("visitor"))
        assert self._send(browser, "GET", "/tasks") == 401

    def test_a_bad_key_is_not_made_good_by_a_session(self, browser: Client) -> None:
        browser.force_login(User.objects.create_superuser("root"))
        assert browser.get("/tasks", headers={"Authorization": "Bearer ts_unknown"}).status_code == 401
