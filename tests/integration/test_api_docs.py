"""``/schema`` and ``/docs``: a valid document, true examples, and a page that asks no other site for anything."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from django.contrib.staticfiles import finders
from openapi_spec_validator import OpenAPIV31SpecValidator

from scheduler_project.content_security import PAGE
from scheduler_project.openapi import document
from tests.factories import make_key
from tests.support.api import Api, problem_of, validator


def media_types(node: Any) -> Any:
    """Every media type of the document that has examples."""
    if isinstance(node, dict):
        if "schema" in node and ("example" in node or "examples" in node) and "in" not in node:
            yield node
        for child in node.values():
            yield from media_types(child)
    elif isinstance(node, list):
        for child in node:
            yield from media_types(child)


class TestSchema:
    def test_is_a_valid_openapi_3_1_document(self, api: Api) -> None:
        shown = api.get("/schema")
        assert shown["Content-Type"] == "application/json"
        assert shown.json()["openapi"] == "3.1.0"
        assert list(OpenAPIV31SpecValidator(shown.json()).iter_errors()) == []

    @pytest.mark.parametrize("accept", ["application/yaml", "text/yaml", "application/vnd.oai.openapi, */*;q=0.1"])
    def test_is_yaml_for_who_accepts_it(self, api: Api, accept: str) -> None:
        shown = api.get("/schema", Accept=accept)
        assert shown["Content-Type"] == "application/yaml"
        assert yaml.safe_load(shown.content) == api.get("/schema").json()

    @pytest.mark.parametrize("accept", ["*/*", "application/json", "application/vnd.oai.openapi+json", "text/html"])
    def test_is_json_for_everybody_else(self, api: Api, accept: str) -> None:
        assert api.get("/schema", Accept=accept)["Content-Type"] == "application/json"

    def test_needs_any_key(self, db: None) -> None:
        assert Api(make_key("tasks:shell")).get("/schema").status_code == 200
        problem_of(Api(None).get("/schema"), 401)

    def test_every_example_is_true_to_its_schema(self) -> None:
        checked = 0
        for media in media_types(document()):
            shown = [media["example"]] if "example" in media else []
            shown += [example["value"] for example in media.get("examples", {}).values()]
            for example in shown:
                # A request may hold a task that is refused: that is what its answer's example shows.
                if "tasks" not in example:
                    assert [error.message for error in validator(media["schema"]).iter_errors(example)] == []
                    checked += 1
        assert checked > 20

    def test_operation_ids_are_unique(self) -> None:
        ids = [o["operationId"] for path in document()["paths"].values() for o in path.values() if "operationId" in o]
        assert len(ids) == len(set(ids)) > 15


class TestDocs:
    def test_is_a_page_that_asks_no_other_site(self, api: Api) -> None:
        page = api.get("/docs")
        html = page.content.decode()
        assert page["Content-Type"].startswith("text/html")
        assert "//" not in re.sub(r"<!--.*?-->", "", html)
        assert page["Content-Security-Policy"] == PAGE
        files = re.findall(r'(?:src|href)="/static/([^"]+)"', html)
        assert len(files) == 5
        assert all(finders.find(file) for file in files)

    def test_needs_a_key_or_sends_a_browser_to_the_login_page(self, anonymous: Api) -> None:
        problem_of(anonymous.get("/docs"), 401)
        response = anonymous.get("/docs", Accept="text/html,application/xhtml+xml")
        assert (response.status_code, response["Location"]) == (302, "/admin/login/?next=/docs")

    def test_a_bad_key_is_401_for_a_browser_too(self, anonymous: Api) -> None:
        problem_of(anonymous.get("/docs", Accept="text/html", Authorization="Bearer ts_x"), 401)

    def test_opens_with_the_session_of_the_admin(self, admin_client: Any) -> None:
        assert admin_client.get("/docs").status_code == 200
        assert admin_client.get("/schema").status_code == 200
