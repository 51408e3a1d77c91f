"""Pointers lead to every value of any document, and payloads keep all but the references in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from tasks_app.executors.registry import executors
from tasks_app.fields import NewTask
from tasks_app.new_tasks import InvalidTask, check_task
from tasks_app.pointers import Document, problem_of
from tasks_app.references import FROM, Kind, Place, filled, read_references
from tasks_app.used_inputs import FoundResult
from workers_app.inputs import Taken

NAMES = st.text(alphabet="a/~01$ é", max_size=4)
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=4)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))
REFERENCES = st.builds(lambda path: {FROM: "task", "path": path}, st.just("/a"))
PAYLOADS = st.recursive(
    LEAVES | REFERENCES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
)


TASK = UUID("018f0000-0000-7000-8000-000000000001")
_ANY = VALUES | st.builds(
    lambda path, more: {FROM: str(TASK), "path": path} | more,
    st.sampled_from(["", "/a", "/a/0", "/b/~1", "/x"]),
    st.just({}) | st.builds(lambda value: {"default": value}, VALUES),
)
SHELL = st.fixed_dictionaries(
    {"argv": st.lists(_ANY | st.sampled_from(["sh", "-c", "echo"]), max_size=4).map(lambda words: ["echo", *words])},
    optional={"environment": st.dictionaries(st.sampled_from(["A", "PATH", "B_TOKEN"]), _ANY)},
)
HTTP = st.fixed_dictionaries(
    {"url": st.just("http://example.com/") | _ANY},
    optional={"body": _ANY | st.lists(_ANY), "headers": st.dictionaries(st.sampled_from(["X-A", "Host"]), _ANY)},
)
RESULTS = st.none() | st.fixed_dictionaries({}, optional={"a": VALUES | VALUES.map(json.dumps), "b": VALUES})


def parts(value: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """Each value in a document, and the pointer that RFC 6901 gives it."""
    yield pointer, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from parts(item, f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}")


@given(VALUES)
def test_pointers_lead_to_every_value_also_inside_of_a_text(value: Any) -> None:
    for pointer, part in parts(value):
        assert problem_of(pointer) is None
        assert Document(value).at(pointer) == part
        if pointer:
            assert Document({"body": json.dumps(value)}).at(f"/body{pointer}") == part


@given(PAYLOADS)
def test_references_are_found_where_they_are_and_the_rest_stays(payload: Any) -> None:
    before = json.dumps(payload)
    references, wrong = read_references(payload, lambda *_: Kind.ANY)
    assert wrong == {}
    values: dict[Place, Any] = {each.place: ["taken"] for each in references}
    after = json.dumps(filled(payload, values))
    assert after == before.replace(json.dumps({FROM: "task", "path": "/a"}), json.dumps(["taken"]))
    assert json.dumps(payload) == before


@given(st.tuples(st.just("SHELL"), SHELL) | st.tuples(st.just("HTTP"), HTTP), RESULTS)
def test_payloads_that_are_taken_can_be_filled_from_any_result_or_say_why_not(asked: Any, result: Any) -> None:
    """Nothing raises, and what comes of it is a payload that somebody could have written."""
    task_type, payload = asked
    try:
        check_task(NewTask(type=task_type, payload=payload, depends_on=(str(TASK),)))
    except InvalidTask as error:
        assert all(error.problems.values())
        return
    kind_at = executors()[task_type].input_at  # type: ignore[attr-defined]
    references, wrong = read_references(payload, kind_at)
    assert wrong == {}
    taken = Taken(payload)
    taken.add(TASK, FoundResult("SUCCESS", 1, None if result is None else json.dumps(result)), references)
    made = taken.payload(task_type)
    assert len(taken.used) == len(references)
    if not taken.problems:
        executors()[task_type].validate(made)
        assert references or made == payload
