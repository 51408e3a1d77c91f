"""What a task may say about who is told of its end."""

from __future__ import annotations

from typing import Any

import pytest

from access_app.refusals import InvalidInput
from tasks_app.callbacks import read_callback


class TestReadCallback:
    @pytest.mark.parametrize(
        "callback",
        [
            {"url": "https://hooks.example.com/x?y=1"},
            {"endpoint": "on-call", "on": ["failed"]},
            {
                "url": "http://127.0.0.1:8080/",
                "on": ["succeeded", "failed", "cancelled", "late_result"],
                "include": "result",
            },
        ],
    )
    def test_is_kept_as_it_came(self, callback: dict[str, Any]) -> None:
        assert read_callback(callback) == callback

    @pytest.mark.parametrize(
        ("callback", "field"),
        [
            ({}, "url"),
            ({"url": "https://a.example", "endpoint": "b"}, "url"),
            ({"url": 7}, "url"),
            ({"url": "ftp://a.example"}, "url"),
            ({"url": "https://user:secret@a.example"}, "url"),
            ({"url": "https://a.example/" + "x" * 9000}, "url"),
            ({"url": "https://a.example/\ud800"}, "url"),
            ({"endpoint": "with a space"}, "endpoint"),
            ({"endpoint": None}, "endpoint"),
            ({"url": "https://a.example", "on": []}, "on"),
            ({"url": "https://a.example", "on": "failed"}, "on"),
            ({"url": "https://a.example", "on": ["ended"]}, "on"),
            ({"url": "https://a.example", "on": [{}]}, "on"),
            ({"url": "https://a.example", "on": ["failed"] * 5}, "on"),
            ({"url": "https://a.example", "include": "everything"}, "include"),
            ({"url": "https://a.example", "include": ["result"]}, "include"),
            ({"url": "https://a.example", "secret": "x"}, "secret"),
        ],
    )
    def test_names_what_is_wrong(self, callback: dict[str, Any], field: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            read_callback(callback)
        assert refused.value.problems.keys() == {field}

    def test_says_whether_nobody_is_named_or_two_are(self) -> None:
        for callback, words in (
            ({}, "is required, or endpoint"),
            ({"url": "https://a.example", "endpoint": "b"}, "not both"),
        ):
            with pytest.raises(InvalidInput) as caught:
                read_callback(callback)
            assert words in caught.value.problems["url"]

    @pytest.mark.parametrize("value", ["https://a.example", [], 1, True])
    def test_is_an_object(self, value: Any) -> None:
        with pytest.raises(ValueError, match="must be an object"):
            read_callback(value)
