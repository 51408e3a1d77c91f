"""Which labels a task may require, and what a set of them means."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access_app.refusals import InvalidInput
from tasks_app.labels import canonical, condition_of, nearest_miss, read_required_labels

LONGEST = "x" * 100


class TestReadRequiredLabels:
    @pytest.mark.parametrize(
        "value",
        [
            {},
            {"gpu": "a100"},
            {"gpu": ["a100"], "zone": ["a", "b"]},
            {"größe": 'ein "wort" \\ $.x == 1'},
            {LONGEST: [LONGEST] * 8},
            {str(n): "v" for n in range(8)},
            {str(n): ["v", "w"] for n in range(8)},
        ],
    )
    def test_takes_what_a_worker_can_have(self, value: Any) -> None:
        assert read_required_labels(value) == value

    @pytest.mark.parametrize(
        "value",
        [None, [], "gpu=a100", 3, {str(n): "v" for n in range(9)}, {"a": ["v"] * 8, "b": ["v"] * 8, "c": "v"}],
    )
    def test_refuses_what_is_no_set(self, value: Any) -> None:
        with pytest.raises(ValueError, match="must"):
            read_required_labels(value)

    @pytest.mark.parametrize("name", ["", "a=b", "a,b", " a", "a\n", "a\x00", "\ud800", LONGEST + "x"])
    def test_refuses_names_that_no_worker_has(self, name: str) -> None:
        with pytest.raises(InvalidInput):
            read_required_labels({name: "v"})

    @pytest.mark.parametrize(
        "values",
        [None, 1, True, [], [None], ["v"] * 9, {}, [["v"]], "a,b", ["fine", " a"], "a\x00", "\u202e", "x" * 101],
    )
    def test_refuses_values_that_no_worker_has_and_names_the_label(self, values: Any) -> None:
        with pytest.raises(InvalidInput) as refused:
            read_required_labels({"gpu": values, "zone": "a"})
        assert set(refused.value.problems) == {"gpu"}


class TestCanonical:
    def test_is_the_same_for_all_that_mean_the_same(self) -> None:
        one, other = {"zone": ["b", "a", "a"], "gpu": "a100"}, {"gpu": ["a100"], "zone": ["a", "b"]}
        assert canonical(one) == canonical(other) == '{"gpu":["a100"],"zone":["a","b"]}'

    @given(st.dictionaries(st.text(max_size=3), st.lists(st.text(max_size=3), min_size=1, max_size=3), max_size=3))
    def test_keeps_apart_what_means_something_else(self, required: dict[str, list[str]]) -> None:
        assert json.loads(canonical(required)) == {key: sorted(set(values)) for key, values in required.items()}


class TestConditionOf:
    def test_asks_for_all_keys_and_one_value_of_each(self) -> None:
        text = canonical({"gpu": "a100", "zone": ["a", 'b"']})
        assert condition_of(text) == '($."gpu" == "a100") && ($."zone" == "a" || $."zone" == "b\\"")'


class TestNearestMiss:
    def test_names_what_the_nearest_lacks_and_what_there_is(self) -> None:
        workers = [{"zone": "c", "gpu": "t4"}, {"zone": "a", "gpu": "v100"}, {}]
        assert nearest_miss({"gpu": "a100", "zone": ["a", "b"]}, workers) == "gpu=a100 (there is t4, v100)"

    def test_names_a_label_that_nobody_has(self) -> None:
        assert nearest_miss({"gpu": ["a", "b"]}, [{"zone": "a"}]) == "gpu=a|b (none has that label)"

    def test_names_no_more_values_than_a_line_holds(self) -> None:
        workers = [{"host": f"h{n:03}"} for n in range(500)]
        assert nearest_miss({"host": "x"}, workers).endswith("h007 and 492 more)")
