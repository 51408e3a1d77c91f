"""Every rule of a queue, walked through every way in and out of it: what is in the table is in all of them.

A new rule needs no test here. Its value is made from what the OpenAPI document says of it.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from access_app.models import AuditEvent
from flow_app.models import Queue
from flow_app.queues import EFFECTS, edit_queue, pause_queue, queue_of
from flow_app.rules import RULES, Rule, nested
from scheduler_project.openapi import document
from tests.support.api import Api

SCHEMAS: dict[str, Any] = document()["components"]["schemas"]
PAGE = "/admin/flow_app/queue/q/"


@pytest.fixture
def staff(admin_client: Client) -> Client:
    return admin_client


every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.path)


def value_of(schema: dict[str, Any]) -> Any:
    """A value of a schema, and not null."""
    schema = next((one for one in schema.get("oneOf", ()) if "$ref" in one), schema)
    if "$ref" in schema:
        return value_of(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    if "examples" in schema:
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    if "object" in schema["type"]:
        return {name: value_of(inner) for name, inner in schema["properties"].items()}
    return schema["maximum"] if "integer" in schema["type"] else "walked"


def body_of(rule: Rule) -> dict[str, Any]:
    """A body that sets this rule alone."""
    return nested({rule.path: value_of(rule.schema)})


def as_text(value: Any) -> Any:
    """A stored value as the field of a form shows it."""
    return json.dumps(value) if isinstance(value, dict) else value


def shown(document: Any, rule: Rule) -> Any:
    for name in rule.path.split("."):
        document = document[name]
    return document


class TestTable:
    def test_has_columns_of_the_table_that_may_be_null(self) -> None:
        columns = {column.name for column in Queue._meta.get_fields() if getattr(column, "null", False)}
        assert {part.column for rule in RULES for part in rule.parts} <= columns

    def test_has_a_row_for_every_effect(self) -> None:
        assert EFFECTS.keys() <= {rule.path for rule in RULES}

    @every_rule
    def test_is_documented(self, rule: Rule) -> None:
        for name in ("Queue", "QueueChanges"):
            schema = {"$ref": name}
            for member in rule.path.split("."):
                schema = SCHEMAS[schema["$ref"].rpartition("/")[2]]["properties"][member]
            assert schema["description"].startswith(rule.help)

    @every_rule
    def test_is_set_shown_audited_and_ended(self, api: Api, rule: Rule) -> None:
        value = value_of(rule.schema)
        changed = api.patch("/queues/q", body_of(rule))
        assert changed.status_code == 200, changed.content
        assert changed.json() == api.get("/queues/q").json() == api.get("/queues").json()["content"][0]
        assert shown(changed.json(), rule) == value
        assert AuditEvent.objects.get(action="queue.edited").detail == {rule.path: {"from": None, "to": value}}
        ended = api.patch("/queues/q", nested({rule.path: None}))
        assert (shown(ended.json(), rule), ended.json()["version"]) == (None, 2)

    @every_rule
    def test_leaves_the_other_rules_and_the_pause_alone(self, api: Api, rule: Rule) -> None:
        pause_queue("q", actor="test", reason="r")
        for other in RULES:
            edit_queue("q", body_of(other), actor="test")
        before = api.get("/queues/q").json()
        after = api.patch("/queues/q", nested({rule.path: None})).json()
        assert shown(after, rule) is None
        restored = api.patch("/queues/q", body_of(rule)).json()
        assert restored | {"version": before["version"]} == before

    @every_rule
    def test_is_set_by_the_form_and_ended_by_an_empty_one(self, staff: Client, rule: Rule) -> None:
        edit_queue("q", body_of(rule), actor="test")
        filled = staff.get(PAGE + "change/").context["rules_form"].initial
        for fields in (
            dict.fromkeys(filled, ""),
            {name: "" if value is None else value for name, value in filled.items()},
        ):
            sent = fields | {"version": queue_of("q").version}
            assert staff.post(PAGE + "edit/", sent).status_code == 302
            stored = Queue.objects.values(*(part.column for part in rule.parts)).get(name="q")
            assert {column: as_text(value) for column, value in stored.items()} == {
                part.column: fields[part.column] or None for part in rule.parts
            }


class TestForm:
    @pytest.mark.parametrize("value", ["-1", "1.5", "x", "9" * 30, "\0"])
    def test_says_at_the_field_what_is_wrong(self, staff: Client, value: str) -> None:
        edit_queue("q", {"maxConcurrency": 4}, actor="test")
        refused = staff.post(PAGE + "edit/", {"max_concurrency": value, "version": "1"})
        assert refused.status_code == 422
        assert refused.context["rules_form"].errors["max_concurrency"]
        assert queue_of("q").max_concurrency == 4

    def test_saved_second_says_that_somebody_was_faster(self, staff: Client) -> None:
        edit_queue("q", {"maxConcurrency": 4}, actor="test")
        edit_queue("q", {"maxConcurrency": 5}, actor="other")
        refused = staff.post(PAGE + "edit/", {"max_concurrency": "6", "version": "1"})
        assert refused.status_code == 422
        assert b"Somebody changed this queue" in refused.content
        assert queue_of("q").max_concurrency == 5
