"""The law of one file and one line: a new task type is a class, and its dotted path in a setting or in ``BUILT_IN``.

Nothing else in the product may have to learn its name: not the API, the admin, the metrics, the rights or `/schema`.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from django.contrib.auth.models import User
from django.test import Client

from access_app.rights import scopes, type_scope
from monitoring_app import labels
from tasks_app.executors import registry
from tasks_app.models import Task
from tasks_app.starting import Attempt
from tests.factories import make_key
from tests.support.api import Api, fields_of, problem_of
from tests.support.product import ROOT, modules, placed
from workers_app.runner import execution_of, run_attempt

FILE: Final = """
from tasks_app.executors.base import Outcome, PayloadError, TypeDocs


class PingExecutor:
    type = "PING"
    required_scope = "net:ping"
    docs = TypeDocs(
        payload={"type": "object", "properties": {"host": {"type": "string"}}, "required": ["host"]},
        result={"type": "object", "properties": {"host": {"type": "string"}}},
        summary="Ping a host",
        example={"host": "db.example.com"},
    )

    def validate(self, payload):
        if payload.keys() != {"host"}:
            raise PayloadError({"host": "is what it takes"})

    def execute(self, execution):
        return Outcome.success(execution.payload)
"""
LINE: Final = "ping_type.PingExecutor"
#: Who may name a type, and why: the file of the type itself may anyway.
NAMING: Final = {
    "schedules_app.api.inputs": "a schedule that is only simulated needs a task that asks for nothing",
    "schedules_app.crontab_import": "a line of a crontab is a command of the shell",
    "schedules_app.crontab": "SHELL is a variable of crontabs, not the type",
    "flow_app.api.openapi_freezes": "examples for readers",
    "schedules_app.api.openapi.examples": "examples for readers",
    "tasks_app.api.openapi.examples": "examples for readers",
    "tasks_app.api.openapi.failures": "an example for readers",
    "tasks_app.executors.shell_sandbox": "tries whether a command can be confined here",
    "workflows_app.api.openapi_batches": "examples for readers",
    "workflows_app.callbacks.delivering": "a delivery is an HTTP task",
    "workflows_app.callbacks.signing": "a delivery is an HTTP task",
    "scheduler_project.management.commands.quickstart": "three samples, and an example for readers",
}


@pytest.fixture
def ping(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installation with one more file and one more line; the folder of the file."""
    (tmp_path / "ping_type.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    settings.SCHEDULER = replace(settings.SCHEDULER, executors=(LINE,))
    registry.executors.cache_clear()
    yield tmp_path
    registry.executors.cache_clear()
    sys.modules.pop("ping_type", None)


@pytest.fixture
def api(ping: Path, db: None) -> Api:
    """A caller with every scope that there is in such an installation."""
    return Api(make_key(*scopes(), name="caller"))


@pytest.mark.django_db
@pytest.mark.usefixtures("ping")
class TestANewType:
    def test_is_created_checked_and_listed_by_the_api(self, api: Api) -> None:
        made = api.post("/tasks", {"type": "PING", "payload": {"host": "a"}})
        assert (made.status_code, made.json()["type"]) == (201, "PING")
        assert fields_of(api.post("/tasks", {"type": "PING", "payload": {}})) == {"payload.host"}
        assert [task["id"] for task in api.get("/tasks?type=PING").json()["content"]] == [made.json()["id"]]
        bulk = api.post("/tasks/bulk", {"tasks": [{"type": "PING", "payload": {"host": "b"}}]})
        assert bulk.json()["created"] == 1

    def test_is_made_by_schedules(self, api: Api) -> None:
        task = {"type": "PING", "payload": {"host": "a"}}
        made = api.post("/schedules", {"name": "ping", "cron": "0 0 * * *", "task": task})
        assert (made.status_code, made.json()["task"]["type"]) == (201, "PING")

    def test_needs_the_scope_that_it_says(self) -> None:
        assert type_scope("PING") == "net:ping"
        modest = Api(make_key("tasks:read", "tasks:write", name="modest"))
        refused = problem_of(modest.post("/tasks", {"type": "PING", "payload": {"host": "a"}}), 403)
        assert "net:ping" in refused["detail"]

    def test_is_run_by_workers(self, api: Api) -> None:
        task = Task.objects.get(pk=api.post("/tasks", {"type": "PING", "payload": {"host": "a"}}).json()["id"])
        started = Attempt(task.pk, 1, "PING", '{"host": "a"}', 1000, "x", 0, 0, None, False, "", None)
        assert run_attempt(execution_of(started)).result == {"host": "a"}

    def test_is_in_the_forms_and_filters_of_the_admin(self, client: Client, api: Api) -> None:
        client.force_login(User.objects.create_superuser("maria"))
        form = client.get("/admin/tasks_app/task/add/").content.decode()
        assert '<option value="PING"' in form
        assert "db.example.com" in form
        made = api.post("/tasks", {"type": "PING", "payload": {"host": "a"}}).json()["id"]
        shown = client.get("/admin/tasks_app/task/?type=PING").content.decode()
        assert '<option value="PING" selected' in shown
        assert made in shown

    def test_is_a_label_of_the_metrics(self) -> None:
        assert labels.among("PING", labels.task_types()) == "PING"


class TestTheDocument:
    def test_describes_a_new_type(self, ping: Path) -> None:
        """In a process of its own: the document is joined once, when a process starts."""
        script = (
            "import django, json; django.setup(); from scheduler_project.openapi import document; "
            "print(json.dumps(document()['components']['schemas']))"
        )
        environment = os.environ | {"TASK_EXECUTORS": LINE, "PYTHONPATH": f"{ROOT}{os.pathsep}{ping}"}
        ran = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        schemas = json.loads(ran.stdout)
        assert schemas["NewTask"]["discriminator"]["mapping"]["PING"] == "#/components/schemas/NewPingTask"
        assert schemas["PingPayload"]["required"] == ["host"]


class TestTheProduct:
    def test_names_no_type_but_where_it_must(self) -> None:
        """Compared, listed or mapped anywhere else, a name would have to be joined by that of each new type."""
        names = {executor.type for executor in registry.executors().values()}
        own = {path.rpartition(".")[0] for path in registry.BUILT_IN}
        naming = {
            module.name
            for module in modules()
            for _, node in placed(module)
            if isinstance(node, ast.Constant) and node.value in names
        }
        assert naming - own == NAMING.keys()
