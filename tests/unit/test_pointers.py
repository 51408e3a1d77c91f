"""JSON Pointers: RFC 6901 to the letter, and onward into texts that are JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tasks_app.pointers import Document, Nothing, problem_of

#: The document of RFC 6901, section 5, and what it says its pointers mean.
RFC: dict[str, Any] = json.loads(r"""
{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8}
""")
MEANT = {
    "": RFC, "/foo": ["bar", "baz"], "/foo/0": "bar", "/": 0, "/a~1b": 1, "/c%d": 2, "/e^f": 3, "/g|h": 4,
    "/i\\j": 5, '/k"l': 6, "/ ": 7, "/m~0n": 8,
}  # fmt: skip
HTTP = {"statusCode": 200, "body": '{"rows": [{"id": 7}], "text": "[1, 2]", "~1": "odd"}', "cut": '{"rows": [1, 2'}


class TestAt:
    @pytest.mark.parametrize("pointer", MEANT)
    def test_means_what_the_rfc_says(self, pointer: str) -> None:
        assert problem_of(pointer) is None
        assert Document(RFC).at(pointer) == MEANT[pointer]

    @pytest.mark.parametrize(
        ("pointer", "value"),
        [("/body/rows/0/id", 7), ("/body/text/1", 2), ("/body", HTTP["body"]), ("/body/~01", "odd")],
    )
    def test_goes_on_into_texts_that_are_json(self, pointer: str, value: Any) -> None:
        assert Document(HTTP).at(pointer) == value

    def test_reads_a_text_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        document = Document(HTTP)
        rows = document.at("/body/rows")
        monkeypatch.setattr("tasks_app.pointers.json.loads", None)
        assert document.at("/body/rows") is rows

    @pytest.mark.parametrize(
        ("pointer", "why"),
        [
            ("/nobody", "the object at its top has no 'nobody'"),
            ("/foo/2", "the list at /foo has no '2'"),
            ("/foo/-", "the list at /foo has no '-'"),
            ("/foo/-1", "the list at /foo has no '-1'"),
            ("/foo/00", "the list at /foo has no '00'"),
            ("/foo/1e0", "the list at /foo has no '1e0'"),
            ("/foo/\u0660", "the list at /foo has no '\u0660'"),
            ("/foo/" + "9" * 5000, "the list at /foo has no '" + "9" * 100 + "'"),
            ("/a~1b/x", "the value at /a~1b has no 'x'"),
            ("/foo/0/x", "the text at /foo/0 is not JSON, or was cut"),
        ],
    )
    def test_says_where_there_is_nothing(self, pointer: str, why: str) -> None:
        with pytest.raises(Nothing) as raised:
            Document(RFC).at(pointer)
        assert str(raised.value) == why

    @pytest.mark.parametrize(
        "text", [HTTP["cut"], "", "NaN", '{"a": Infinity}', "[" * 100_000, "[" + "9" * 5000 + "]"], ids=range(6)
    )
    def test_takes_no_text_for_json_that_is_none(self, text: str) -> None:
        with pytest.raises(Nothing, match="not JSON, or was cut"):
            Document(text).at("/0")

    def test_does_not_look_into_what_stands_for_a_letter(self) -> None:
        assert Document({"~1": 1, "/": 2}).at("/~01") == 1


class TestProblemOf:
    @pytest.mark.parametrize("pointer", ["a", "#/a", " /a", "/~", "/a~2", "/~0~"])
    def test_finds_what_is_no_pointer(self, pointer: str) -> None:
        assert problem_of(pointer) is not None
