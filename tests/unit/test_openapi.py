"""That the OpenAPI document gives generated clients something to hold: names for everything, and no surprises.

``make client`` generates one; these are the rules that it needs, checked without a generator.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.urls import resolve
from django.utils.module_loading import import_string

from access_app.http.openapi.chapters import Chapter, merged
from access_app.http.openapi.components import SHARED
from scheduler_project.openapi import CHAPTERS, document
from tasks_app.api.openapi.types import KINDS
from tasks_app.conf import Sandbox
from tasks_app.executors import http_payload, registry, shell_payload
from tasks_app.executors.http_reply import Reply
from tasks_app.executors.shell import _result
from tasks_app.executors.shell_process import Ending
from tests.support.api import validator
from tests.support.described import ReportExecutor
from tests.support.environment_names import ROOT

SCHEMAS: dict[str, Any] = document()["components"]["schemas"]


def installation_with(executor: str, script: str) -> subprocess.CompletedProcess[str]:
    """A script in an installation that has one more task type."""
    variables = {"TASK_EXECUTORS": executor, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", script], env=os.environ | variables, capture_output=True, text=True, check=False
    )


def schemas_with(executor: str) -> dict[str, Any]:
    """Its schemas."""
    script = (
        "import django, json; django.setup(); from scheduler_project.openapi import document; "
        "print(json.dumps(document()['components']['schemas']))"
    )
    found: dict[str, Any] = json.loads(installation_with(executor, script).stdout)
    return found


def nodes(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every object of the document that is not an example, with its path."""
    if isinstance(node, dict):
        yield path, node
        for name, child in node.items():
            if name not in {"example", "examples"}:
                yield from nodes(child, (*path, name))
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from nodes(child, (*path, str(index)))


def is_named(path: tuple[str, ...]) -> bool:
    return path[:2] == ("components", "schemas") and len(path) == 3


def kinds_of(node: dict[str, Any]) -> list[str]:
    kind = node.get("type", [])
    return [kind] if isinstance(kind, str) else kind if isinstance(kind, list) else []


def problems(schema: dict[str, Any], value: Any) -> list[str]:
    return [error.message for error in validator(schema).iter_errors(value)]


class TestChapters:
    @pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: str(chapter.__module__))
    def test_describe_endpoints_of_their_own_app(self, chapter: Callable[[], Chapter]) -> None:
        app = chapter.__module__.partition(".")[0]
        for path in chapter().paths:
            view: Any = resolve(re.sub(r"\{\w+\}", "x", path)).func
            assert view.cls.__module__.startswith(f"{app}."), path

    @pytest.mark.parametrize("part", ["paths", "schemas", "tags", "parameters"])
    def test_do_not_describe_a_thing_twice(self, part: str) -> None:
        one = Chapter(**{"paths": {}, "schemas": {}, part: {"x": "once"}})
        other = Chapter(**{"paths": {}, "schemas": {}, part: {"x": "again"}})
        with pytest.raises(ValueError, match="would describe twice: x"):
            merged([one, other])

    def test_of_what_is_shared_has_no_endpoints(self) -> None:
        assert SHARED.paths == {}


class TestSchemas:
    def test_of_objects_and_closed_sets_have_names(self) -> None:
        unnamed = [
            "/".join(path)
            for path, node in nodes(document())
            if ("object" in kinds_of(node) or "enum" in node) and not is_named(path) and path[-1] != "properties"
        ]
        assert unnamed == []

    def test_of_objects_say_what_is_in_them(self) -> None:
        bare = [
            name
            for name, schema in SCHEMAS.items()
            if "object" in kinds_of(schema) and not schema.get("properties") and "additionalProperties" not in schema
        ]
        assert bare == []

    def test_that_may_be_null_say_so_as_json_schema_does(self) -> None:
        assert [path for path, node in nodes(document()) if "nullable" in node] == []

    def test_have_constants_only_of_text(self) -> None:
        """The generator writes code that is none for others."""
        assert [path for path, node in nodes(document()) if not isinstance(node.get("const", ""), str)] == []

    def test_refer_to_what_there_is(self) -> None:
        refs = {node["$ref"] for _, node in nodes(document()) if "$ref" in node}
        mapped = {ref for _, node in nodes(document()) for ref in node.get("mapping", {}).values()}
        for ref in refs | mapped:
            _, kind, name = ref.removeprefix("#/").split("/")
            assert name in document()["components"][kind], ref

    def test_are_all_used(self) -> None:
        refs = {node["$ref"].rpartition("/")[2] for _, node in nodes(document()) if "$ref" in node}
        assert set(SCHEMAS) - refs == set()


class TestVersions:
    def test_are_etags_of_all_that_can_be_changed(self) -> None:
        """Who goes by ``If-Match`` need not read a thing again after each change of it."""
        with_version = {f"#/components/schemas/{name}" for name, one in SCHEMAS.items() if "version" in members(one)}
        missing = []
        for path, operations in document()["paths"].items():
            if path == "/health":  # the version of the software
                continue
            for method in operations.keys() - {"parameters"}:
                for status, response in operations[method]["responses"].items():
                    shown = {body["schema"].get("$ref") for body in response.get("content", {}).values()}
                    if (status == "304" or shown & with_version) and "ETag" not in response["headers"]:
                        missing.append(f"{method} {path} {status}")
        assert missing == []


def members(schema: dict[str, Any]) -> set[str]:
    """The names of what an object may have, in any of its forms."""
    own = set(schema.get("properties", ()))
    others = (SCHEMAS[one["$ref"].rpartition("/")[2]] for one in schema.get("oneOf", ()) if "$ref" in one)
    return own.union(*map(members, others))


class TestDefaults:
    """Generated clients send the defaults that a schema names."""

    @pytest.mark.parametrize("name", [name for name in SCHEMAS if name.endswith("Changes")])
    def test_stand_in_no_schema_of_changes(self, name: str) -> None:
        found: list[Any] = []
        for _, node in nodes(SCHEMAS[name]):
            found += [node] if "default" in node else []
            ref = node.get("$ref", "").rpartition("/")[2]
            if ref and "Payload" not in ref and ref != "RetryOptions":  # those are replaced whole
                found += [inner for _, inner in nodes(SCHEMAS[ref]) if "default" in inner]
        assert found == []

    def test_do_not_bring_page_beside_cursor(self) -> None:
        for path in document()["paths"].values():
            named = {one.get("name"): one for one in path.get("get", {}).get("parameters", [])}
            if "cursor" in named:
                assert "default" not in named["page"]["schema"]


class TestTypes:
    def test_of_an_installation_describe_themselves(self) -> None:
        """One file and one line: a type of TASK_EXECUTORS that has `docs` is told apart like a built-in one."""
        found = schemas_with("tests.support.described.ReportExecutor")
        mapping = found["NewTask"]["discriminator"]["mapping"]
        assert mapping["SEND_REPORT"] == "#/components/schemas/NewSendReportTask"
        assert found["NewSendReportTask"]["properties"]["type"]["const"] == "SEND_REPORT"
        assert found["NewSendReportTask"]["required"] == ["type", "payload"]
        assert found["SendReportPayload"] == ReportExecutor.docs.payload
        assert found["SendReportTask"]["properties"]["result"]["oneOf"][0] == {
            "$ref": "#/components/schemas/SendReportResult"
        }
        assert "SendReportTemplate" in found
        assert "SEND_REPORT" in found["NewCustomTask"]["properties"]["type"]["pattern"]

    def test_that_take_a_name_of_another_schema_end_the_web_process_at_its_start(self) -> None:
        ran = installation_with("tests.support.described.ClashingExecutor", "import scheduler_project.wsgi")
        assert ran.returncode != 0
        assert "/schema would describe twice: Task" in ran.stderr

    def test_that_describe_nothing_are_custom(self) -> None:
        assert schemas_with("tests.support.traces.TraceExecutor").keys() == SCHEMAS.keys()

    def test_are_those_that_come_with_it(self) -> None:
        assert set(KINDS) == {import_string(path).type for path in registry.BUILT_IN}

    @pytest.mark.parametrize(
        ("payload", "fields"), [("HttpPayload", http_payload._FIELDS), ("ShellPayload", shell_payload._FIELDS)]
    )
    def test_have_the_fields_of_the_code(self, payload: str, fields: frozenset[str]) -> None:
        assert set(SCHEMAS[payload]["properties"]) == fields

    def test_have_the_results_of_the_code(self) -> None:
        note = {"bodyNote"}
        http = Reply(200, {}, 0.0).result()
        shell = _result(Ending(), Sandbox.LIMITS)
        assert set(SCHEMAS["HttpResult"]["properties"]) - note == set(http)
        assert set(SCHEMAS["ShellResult"]["properties"]) == set(shell)
        for name, result in (("HttpResult", http), ("ShellResult", shell)):
            assert problems(SCHEMAS[name], result) == []

    @pytest.mark.parametrize(
        ("task", "valid"),
        [
            ({"type": "HTTP", "payload": {"url": "https://a/"}}, True),
            ({"type": "HTTP", "payload": {"url": "https://a/", "body": [1], "expectedStatus": [200, "300-399"]}}, True),
            ({"type": "HTTP", "payload": {"url": "https://a/", "expectedStatus": 204, "headers": {"A": "b"}}}, True),
            ({"type": "HTTP", "payload": {"url": "https://a/", "retries": 3}}, False),
            ({"type": "HTTP", "payload": {"command": "true"}}, False),
            ({"type": "HTTP"}, False),
            ({"type": "SHELL", "payload": {"argv": ["/bin/date"], "environment": {"A": "b"}}}, True),
            ({"type": "SHELL", "payload": {"argv": []}}, False),
            ({"type": "DUMMY"}, True),
            ({"type": "DUMMY", "payload": {"sleepDurationMs": 5}}, True),
            ({"type": "DUMMY", "payload": {"sleepDurationMs": "5"}}, False),
            ({"type": "REPORT", "payload": {"anything": {"at": "all"}}}, True),
            ({"type": "HTTPS2"}, True),
            ({"type": "REPORT", "colour": "red"}, False),
            ({"payload": {}}, False),
        ],
    )
    def test_of_new_tasks_have_each_their_payload(self, task: dict[str, Any], valid: bool) -> None:
        assert (problems({"$ref": "#/components/schemas/NewTask"}, task) == []) is valid
