"""The base of every endpoint holds in any Django project, whatever its REST_FRAMEWORK says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any, Final

import pytest
from django.test import override_settings
from django.urls import resolve
from rest_framework.settings import IMPORT_STRINGS
from rest_framework.views import APIView

from access_app.http.query import Query
from access_app.http.viewsets import ApiViewSet
from scheduler_project.openapi import document
from tests.factories import make_key
from tests.support.api import Api, problem_of
from tests.support.environment_names import ROOT
from tests.support.schedules import make_schedule

#: A project that lets everybody in, and speaks another language to them.
HOSTILE: Final[dict[str, Any]] = {
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.BasicAuthentication"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.BrowsableAPIRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FormParser"],
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.AnonRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"anon": "1/day"},
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.AcceptHeaderVersioning",
    "ALLOWED_VERSIONS": ["7"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "rest_framework.negotiation.DefaultContentNegotiation",
    "EXCEPTION_HANDLER": "rest_framework.views.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.User",
    "UNAUTHENTICATED_TOKEN": "builtins.object",
    "URL_FORMAT_OVERRIDE": "hours",
    "FORMAT_SUFFIX_KWARG": "task_id",
}
_STRANGER: Final = """
import json, sys
from django.conf import settings
settings.REST_FRAMEWORK = json.loads(sys.argv[1])
settings.ALLOWED_HOSTS = ["testserver"]
import django
django.setup()
from django.test import Client
client, found = Client(raise_request_exception=False), []
for path in json.loads(sys.argv[2]):
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        answer = client.generic(method, path, headers={"Accept": "application/json; version=9"})
        found.append([method, path, answer.status_code, answer["Content-Type"], answer.get("WWW-Authenticate")])
print(json.dumps(found))
"""
_ID: Final = "01890000-0000-7000-8000-000000000000"
PATHS: Final = [
    re.sub(r"\{\w+\}", _ID, path) for path in document()["paths"] if path not in ("/health/live", "/health/ready")
]
OPERATIONS: Final = [
    (method.upper(), re.sub(r"\{\w+\}", _ID, path))
    for path, methods in document()["paths"].items()
    for method in methods
    if method != "parameters"
]


def form_of(method: str, path: str) -> Any:
    """The form of an operation's query string."""
    view: Any = resolve(path).func
    return view.cls.parameters.get(view.actions[method.lower()], Query).form_class()


class TestAnyProject:
    def test_refuses_strangers_at_every_address_by_every_method(self) -> None:
        """In a process of its own: DRF reads most settings once, when its classes are made."""
        addresses = json.dumps([path + slash for path in [*PATHS, "/nope"] for slash in ("", "/")])
        command = [sys.executable, "-c", _STRANGER, json.dumps(HOSTILE), addresses]
        environ = os.environ | {"DJANGO_SETTINGS_MODULE": "scheduler_project.settings", "LOG_LEVEL": "ERROR"}
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr[-2000:]
        found = json.loads(done.stdout)
        assert len(found) == 2 * 8 * (len(PATHS) + 1)
        expected = [401, "application/problem+json", 'Bearer realm="task-scheduler"']
        assert [answer for answer in found if answer[2:] != expected] == []

    def test_every_policy_of_drf_is_named(self) -> None:
        """Also one that a later version adds."""
        policies = {name for name in vars(APIView) if name.endswith(("_class", "_classes"))}
        assert len(policies) == len({name for name in IMPORT_STRINGS if name.startswith("DEFAULT_")} - {
            "DEFAULT_SCHEMA_CLASS", "DEFAULT_PAGINATION_CLASS", "DEFAULT_FILTER_BACKENDS"
        })  # fmt: skip
        assert policies - vars(ApiViewSet).keys() == set()

    @override_settings(REST_FRAMEWORK=HOSTILE)
    def test_answers_as_in_ours(self, api: Api, anonymous: Api) -> None:
        problem_of(anonymous.get("/tasks", Accept="text/html"), 401)
        problem_of(api.get("/tasks/x"), 404)
        problem_of(api.get("/tasks?nope=1"), 400)
        problem_of(Api(make_key("admin")).get("/tasks"), 403)
        for _ in range(2):
            assert api.post("/tasks", {"type": "DUMMY"}, Accept="text/html").status_code == 201
        assert "checks" not in anonymous.get("/health/ready").json()


class TestMethods:
    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize("slash", ["", "/"])
    def test_that_no_action_has_are_405_with_a_key(self, api: Api, path: str, slash: str) -> None:
        for method in sorted({"PUT", "OPTIONS", "TRACE"} - {method for method, known in OPERATIONS if known == path}):
            response = api.send(method, path + slash)
            problem_of(response, 405)
            assert method not in response["Allow"]

    def test_heads_are_gets_without_a_body(self, api: Api) -> None:
        for path in ("/tasks", "/queues", "/schema", "/health/workers"):
            response = api.send("HEAD", path)
            assert (response.status_code, response.content) == (200, b"")


class TestParameters:
    @pytest.mark.parametrize(("method", "path"), OPERATIONS)
    def test_that_no_action_knows_are_refused(self, api: Api, method: str, path: str) -> None:
        known = "format" in form_of(method, path).base_fields
        problem = problem_of(api.send(method, f"{path}?nope=1&format={'csv' if known else 'json'}"), 400)
        assert {error["field"] for error in problem["errors"]} == {"nope"} if known else {"nope", "format"}

    @pytest.mark.parametrize(("method", "path"), OPERATIONS)
    def test_are_documented_as_they_are_read(self, method: str, path: str) -> None:
        template = re.sub(r"^\^|(/\?)?\\Z$", "", resolve(path).route)
        described = document()["paths"]["/" + re.sub(r"\(\?P<(\w+)>(\[\^/\]|\.)\+\)", r"{\1}", template)][
            method.lower()
        ]
        named = [each["name"] for each in described.get("parameters", []) if each.get("in") == "query"]
        assert named == list(form_of(method, path).base_fields)

    @pytest.mark.parametrize(("method", "path"), [each for each in OPERATIONS if form_of(*each).base_fields])
    def test_are_given_once_but_for_those_that_may_be_repeated(self, api: Api, method: str, path: str) -> None:
        once = [name for name, field in form_of(method, path).base_fields.items() if not field.repeated]
        twice = "&".join(f"{name}=&{name}=x" for name in once)
        path = path.replace(_ID, str(make_schedule(due=0).pk))
        problem = problem_of(api.send(method, f"{path}?{twice}"), 400)
        assert {error["field"] for error in problem["errors"]} == set(once)
        assert {error["message"] for error in problem["errors"]} - {"cannot be used together with page"} == {
            "must be given once"
        }
