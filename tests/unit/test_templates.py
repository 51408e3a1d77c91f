"""Batches that are made again and again: what is refused, and the ids that their tasks get."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from schedules_app.batch_templates import queues_in, types_in
from tests.support.scheduled import FAN_IN
from workflows_app.new_batches import InvalidBatch
from workflows_app.templates import MAX_TASKS, read_template

DUMMY: dict[str, Any] = {"type": "DUMMY"}
ID = "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071"


def problems(asked: Any) -> dict[str, str]:
    with pytest.raises(InvalidBatch) as caught:
        read_template(asked)
    return caught.value.problems


class TestReadTemplate:
    @pytest.mark.parametrize(
        ("more", "fields"),
        [
            ({"name": None}, {"name"}),
            ({"name": ""}, {"name"}),
            ({"name": "a\nb"}, {"name"}),
            ({"tasks": []}, {"tasks"}),
            ({"tasks": {}}, {"tasks"}),
            ({"tasks": [DUMMY] * (MAX_TASKS + 1)}, {"tasks"}),
            ({"tasks": [7]}, {"tasks.0"}),
            ({"tasks": [{"type": "NONE"}, DUMMY | {"priority": 999}]}, {"tasks.0.type", "tasks.1.priority"}),
            ({"tasks": [DUMMY | {"uniqueKey": "u"}]}, {"tasks.0.uniqueKey"}),
            ({"tasks": [DUMMY | {"scheduleAt": "2030-01-01T00:00:00Z"}]}, {"tasks.0.scheduleAt"}),
            ({"tasks": [DUMMY | {"expiresAt": "2030-01-01T00:00:00Z"}]}, {"tasks.0.expiresAt"}),
            ({"tasks": [DUMMY | {"dependsOn": [ID]}]}, {"tasks.0.dependsOn"}),
            ({"tasks": [DUMMY | {"dependsOn": [{"batch": ID}]}]}, {"tasks.0.dependsOn"}),
            ({"tasks": [DUMMY | {"dependsOn": ["00000000-0000-7000-8000-000000000001"]}]}, {"tasks.0.dependsOn"}),
            ({"tasks": [DUMMY | {"dependsOn": ["no"]}]}, {"tasks.0.dependsOn"}),
            ({"tasks": [DUMMY | {"ref": "a"}, DUMMY | {"ref": "a"}]}, {"tasks.1.ref"}),
            ({"tasks": [DUMMY | {"ref": "a", "dependsOn": ["b"]}, DUMMY | {"ref": "b", "dependsOn": ["a"]}]},
             {"tasks.0.dependsOn", "tasks.1.dependsOn"}),
            ({"failFast": 0}, {"failFast"}),
            ({"open": True}, {"open"}),
            ({"open": False}, {"open"}),
            ({"parentBatchId": ID}, {"parentBatchId"}),
            ({"onComplete": {"type": "DUMMY", "dependsOn": [ID]}}, {"onComplete.dependsOn"}),
            ({"onFailure": 5, "onSuccess": {}}, {"onFailure", "onSuccess.type"}),
            ({"nope": 1, "status": "RUNNING"}, {"nope", "status"}),
        ],
    )  # fmt: skip
    def test_names_every_bad_field(self, more: dict[str, Any], fields: set[str]) -> None:
        assert problems({"name": "b", "tasks": [DUMMY]} | more).keys() == fields

    @pytest.mark.parametrize("asked", [None, [], "x", {}])
    def test_takes_an_object_with_a_name_and_tasks(self, asked: Any) -> None:
        assert problems(asked).keys() in ({"body"}, {"name", "tasks"})

    def test_takes_what_says_nothing(self) -> None:
        read_template({"name": "b", "tasks": [DUMMY], "failFast": None, "onFailure": None})


class TestMembers:
    def test_depend_on_each_other_by_the_ids_they_are_given(self) -> None:
        ids = [UUID(int=7), UUID(int=8), UUID(int=9)]
        eu, us, load = read_template(FAN_IN).members(ids)
        assert (eu.new.depends_on, us.new.depends_on) == (None, None)
        assert load.new.depends_on == [str(ids[0]), str(ids[1])]
        assert str(ids[0]) in load.text
        assert load.new.payload["body"] == {"$from": str(ids[0])}


class TestStored:
    def test_says_what_it_runs_where(self) -> None:
        assert types_in(FAN_IN | {"onSuccess": {"type": "SHELL"}}) == {"DUMMY", "HTTP", "SHELL"}
        assert queues_in(FAN_IN) == ["default", "us"]
        assert read_template(FAN_IN).takes_results == {"HTTP"}

    @pytest.mark.parametrize("asked", [None, 5, [], {}, {"tasks": 5}, {"tasks": [5, None]}, {"onComplete": 7}])
    def test_runs_nothing_where_it_is_no_batch(self, asked: Any) -> None:
        assert types_in(asked) == set()
