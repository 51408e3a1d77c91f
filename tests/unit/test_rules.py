"""The table of queue rules: what follows from a row, whatever the row is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from access_app.http.openapi.schemas import schema
from access_app.refusals import InvalidInput
from flow_app.rules import (
    MOST_CONCURRENT,
    RULES,
    Part,
    Rule,
    read_changes,
    rule_components,
    rule_schemas,
    shown_rules,
    within,
)
from tasks_app.kinds import Kind

RATE = Rule(
    "perKey.rate",
    "So many starts in a period.",
    (
        Part(column="limit", kind=within(1, 1000), label="Starts", name="limit"),
        Part(column="period", kind=within(1, 60), label="Seconds", name="periodSeconds"),
        Part(column="burst", kind=within(1, 9), label="Burst", name="burst", default=1),
    ),
)
ROWS = (
    Rule("most", "At most so many.", (Part(column="most", kind=within(0, 10), label="At most"),)),
    Rule("perKey.most", "At most so many of a key.", (Part(column="key_most", kind=within(1, 5), label="Of a key"),)),
    RATE,
)


def read(changes: Any) -> dict[str, Any]:
    return read_changes(changes, ROWS)


class TestReadChanges:
    def test_of_nothing_sets_nothing(self) -> None:
        assert read({}) == {} == read({"perKey": {}})

    def test_sets_what_is_named_and_no_other_column(self) -> None:
        assert read({"most": 0}) == {"most": 0}
        assert read({"perKey": {"most": 5}}) == {"key_most": 5}
        assert read({"most": None, "perKey": {"most": None}}) == {"most": None, "key_most": None}

    def test_replaces_a_rule_of_several_columns_as_a_whole(self) -> None:
        assert read({"perKey": {"rate": {"limit": 2, "periodSeconds": 3}}}) == {"limit": 2, "period": 3, "burst": 1}
        assert read({"perKey": {"rate": None}}) == {"limit": None, "period": None, "burst": None}

    @pytest.mark.parametrize(
        ("changes", "problems"),
        [
            ([], {"body": "must be an object"}),
            ({"": 1, "perKey.most": 1}, {"": "unknown field", "perKey.most": "unknown field"}),
            ({"most": 11}, {"most": "must be between 0 and 10, or null"}),
            ({"most": True}, {"most": "must be a whole number, or null"}),
            ({"most": {"most": 1}}, {"most": "must be a whole number, or null"}),
            ({"perKey": None}, {"perKey": "must be an object"}),
            (
                {"perKey": {"most": 0, "x": 1}},
                {"perKey.most": "must be between 1 and 5, or null", "perKey.x": "unknown field"},
            ),
            ({"perKey": {"rate": 5}}, {"perKey.rate": "must be an object, or null"}),
            (
                {"perKey": {"rate": {"limit": 0, "x": 1}}},
                {
                    "perKey.rate.x": "unknown field",
                    "perKey.rate.limit": "must be between 1 and 1,000",
                    "perKey.rate.periodSeconds": "is required",
                },
            ),
            (
                {"perKey": {"rate": {"limit": None, "periodSeconds": 1}}},
                {"perKey.rate.limit": "must be a whole number"},
            ),
        ],
    )
    def test_names_what_cannot_be(self, changes: Any, problems: dict[str, str]) -> None:
        with pytest.raises(InvalidInput) as refused:
            read(changes)
        assert refused.value.problems == problems

    def test_names_few_of_very_many(self) -> None:
        with pytest.raises(InvalidInput) as refused:
            read({"perKey": {str(n) * 1000: n for n in range(10_000)}})
        assert len(refused.value.problems) <= 101
        assert max(map(len, refused.value.problems)) <= 110


class TestShownRules:
    def test_are_nested_as_they_are_read(self) -> None:
        row = SimpleNamespace(most=4, key_most=None, limit=2, period=3, burst=1)
        shown = shown_rules(row, ROWS)
        assert shown == {"most": 4, "perKey": {"most": None, "rate": {"limit": 2, "periodSeconds": 3, "burst": 1}}}
        assert read(shown) == vars(row)

    def test_are_null_where_nothing_is_set(self) -> None:
        row = SimpleNamespace(most=None, key_most=None, limit=None, period=None, burst=None)
        assert shown_rules(row, ROWS) == {"most": None, "perKey": {"most": None, "rate": None}}


class TestRuleSchemas:
    def test_say_what_is_read(self) -> None:
        schemas = rule_schemas(ROWS)
        assert schemas["most"]["type"] == ["integer", "null"]
        assert schemas["perKey"] == schema("PerKey")
        components = rule_components(ROWS)
        assert components["PerKey"]["required"] == ["most", "rate"]
        assert components["PerKey"]["properties"]["rate"]["oneOf"] == [schema("Rate"), {"type": "null"}]
        assert components["Rate"]["required"] == ["limit", "periodSeconds"]

    def test_of_changes_leave_open_which_members_are_named(self) -> None:
        assert rule_schemas(ROWS, changes=True)["perKey"] == schema("PerKeyChanges")
        assert "required" not in rule_components(ROWS)["PerKeyChanges"]

    def test_of_a_closed_set_have_null_among_the_values(self) -> None:
        kind = Kind(schema={"type": "string", "enum": ["a"]})
        [values] = rule_schemas([Rule("by", "By what.", (Part(column="by", kind=kind, label="By"),))]).values()
        assert values["enum"] == ["a", None]


class TestRules:
    def test_have_one_owner_for_each_path_and_column(self) -> None:
        paths = [path for rule in RULES for path in rule.paths]
        columns = [part.column for rule in RULES for part in rule.parts]
        assert (len(set(paths)), len(set(columns))) == (len(paths), len(columns))

    @pytest.mark.parametrize("most", [0, MOST_CONCURRENT, None])
    def test_take_every_limit_of_a_queue(self, most: int | None) -> None:
        assert read_changes({"maxConcurrency": most}) == {"max_concurrency": most}
