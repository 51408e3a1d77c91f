"""Pointers lead to every value of any document, and payloads keep all but the references in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tasks_app.pointers import Document, problem_of
from tasks_app.references import FROM, Kind, Place, filled, read_references

NAMES = st.text(alphabet="a/~01$ é", max_size=4)
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=4)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))
REFERENCES = st.builds(lambda path: {FROM: "task", "path": path}, st.just("/a"))
PAYLOADS = st.recursive(
    LEAVES | REFERENCES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
)


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
