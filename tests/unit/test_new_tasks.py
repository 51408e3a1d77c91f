"""What a task must be to be created: checked once, with every bad field named, before the database sees it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tasks_app.fields import MAX_TIMEOUT_MS, NewTask
from tasks_app.new_tasks import MAX_DEPTH, MAX_PAYLOAD_BYTES, InvalidTask, check_task, json_text
from tasks_app.retries import MAX_DELAY_MS

HTTP = {"url": "http://example.com/", "body": ""}


def nested(levels: int, *, kind: type = dict) -> Any:
    """A value of this many levels; a dict counts its own."""
    value: Any = {}
    for _ in range(levels - 1):
        value = {"a": value} if kind is dict else [value]
    return value


def problems(**fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidTask) as raised:
        check_task(NewTask(**{"type": "DUMMY"} | fields))
    return raised.value.problems


class TestCheckTask:
    def test_returns_the_payload_as_compact_json(self) -> None:
        assert check_task(NewTask(type="DUMMY")) == "{}"
        assert check_task(NewTask(type="DUMMY", payload={"sleepDurationMs": 5})) == '{"sleepDurationMs":5}'

    def test_names_every_bad_field_by_its_name_in_the_api(self) -> None:
        found = problems(
            payload={"sleepDurationMs": -1, "extra": 1}, priority=500, queue="", timeout_ms=0, max_retries=-1,
            on_worker_lost="hope", correlation_id="", concurrency_key="", retry={"backoff": "x"},
            schedule_at=datetime(2024, 1, 1), expires_at=datetime(2024, 1, 1),
        )  # fmt: skip
        assert set(found) == {
            "payload.sleepDurationMs", "payload.extra", "priority", "queue", "timeoutMs", "maxRetries", "onWorkerLost",
            "correlationId", "concurrencyKey", "retry.backoff", "scheduleAt", "expiresAt",
        }  # fmt: skip

    def test_names_the_known_types_for_an_unknown_one(self) -> None:
        assert "DUMMY, HTTP, SHELL" in problems(type="MAGIC")["type"]

    @pytest.mark.parametrize(
        ("field", "good", "bad"),
        [
            ("priority", [-100, 0, 100], [-101, 101]),
            ("queue", ["a", "A-z.0_9:x", "q" * 100], ["", "q" * 101, "a b", "ü", "a\n", "a/b", "٣"]),
            ("timeout_ms", [1, MAX_TIMEOUT_MS], [0, -1, MAX_TIMEOUT_MS + 1]),
            ("max_retries", [0, 1000, None], [-1, 1001]),
            ("on_worker_lost", ["retry", "fail"], ["", "RETRY", "drop"]),
            ("correlation_id", ["a", "A-z.0_9", "c" * 128, None], ["", "c" * 129, "a b", "a\n", "ü"]),
            (
                "concurrency_key",
                ["k", "customer 7", "ü", "k" * 200, None],
                ["", "k" * 201, "a\nb", "a\0", "\ud800", "\x7f"],
            ),
            ("schedule_at", [datetime(1970, 1, 1, tzinfo=UTC), None], [datetime(2024, 1, 1)]),
            ("expires_at", [datetime(9999, 1, 1, tzinfo=UTC), None], [datetime(2024, 1, 1)]),
        ],
    )
    def test_keeps_each_field_within_its_limits(self, field: str, good: list[Any], bad: list[Any]) -> None:
        for value in good:
            assert check_task(NewTask(type="DUMMY", **{field: value})) == "{}"
        for value in bad:
            assert len(problems(**{field: value})) == 1, value

    @pytest.mark.parametrize(
        ("retry", "fields"),
        [
            ({"backoff": "sometimes"}, {"retry.backoff"}),
            ({"backoff": ["fixed"]}, {"retry.backoff"}),
            ({"baseDelayMs": -1, "maxDelayMs": MAX_DELAY_MS + 1}, {"retry.baseDelayMs", "retry.maxDelayMs"}),
            ({"baseDelayMs": True, "maxDelayMs": 1.5}, {"retry.baseDelayMs", "retry.maxDelayMs"}),
            ({"baseDelayMs": None}, {"retry.baseDelayMs"}),
            ({"jitter": 1}, {"retry.jitter"}),
            ({"base": 1}, {"retry.base"}),
        ],
    )
    def test_refuses_a_retry_policy(self, retry: dict[str, Any], fields: set[str]) -> None:
        assert set(problems(retry=retry)) == fields

    @pytest.mark.parametrize(
        "retry", [{}, {"backoff": "linear"}, {"baseDelayMs": 0, "maxDelayMs": MAX_DELAY_MS, "jitter": False}]
    )
    def test_takes_any_part_of_a_retry_policy(self, retry: dict[str, Any]) -> None:
        assert check_task(NewTask(type="DUMMY", retry=retry)) == "{}"

    @pytest.mark.parametrize("payload", [None, [], "x", 1, True])
    def test_refuses_a_payload_that_is_no_object(self, payload: Any) -> None:
        assert problems(payload=payload) == {"payload": "must be an object"}


class TestPayloadLimits:
    def payload(self, size: int, character: str = "x") -> dict[str, str]:
        overhead = len(json.dumps(HTTP, separators=(",", ":")))
        return HTTP | {"body": character * ((size - overhead) // len(character.encode()))}

    def test_count_bytes_of_utf_8(self) -> None:
        assert check_task(NewTask(type="HTTP", payload=self.payload(MAX_PAYLOAD_BYTES)))
        assert "262144 bytes" in problems(type="HTTP", payload=self.payload(MAX_PAYLOAD_BYTES + 1))["payload"]
        euro = self.payload(MAX_PAYLOAD_BYTES + 3, "€")
        assert len(euro["body"]) < MAX_PAYLOAD_BYTES // 2
        assert "payload" in problems(type="HTTP", payload=euro)

    @pytest.mark.parametrize("kind", [dict, list])
    def test_count_levels(self, kind: type) -> None:
        json_text(nested(MAX_DEPTH, kind=kind))
        with pytest.raises(ValueError, match="32 levels"):
            json_text(nested(MAX_DEPTH + 1, kind=kind))

    def test_survive_what_the_parser_would_not(self) -> None:
        with pytest.raises(ValueError, match="32 levels"):
            json_text(nested(100_000))

    def test_take_many_brackets_side_by_side(self) -> None:
        assert json_text([[] for _ in range(1000)])

    def test_take_brackets_in_texts(self) -> None:
        assert json_text({"a": "[" * 1000})


class TestJsonText:
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_refuses_what_json_has_no_word_for(self, value: float) -> None:
        with pytest.raises(ValueError, match="no NaN"):
            json_text({"a": [value]})

    @pytest.mark.parametrize(
        "value", [object(), {1, 2}, b"x", datetime(2024, 1, 1), {(1, 2): 3}, 10**5000], ids=lambda v: type(v).__name__
    )
    def test_refuses_what_is_not_json(self, value: Any) -> None:
        with pytest.raises(ValueError, match="must be JSON"):
            json_text({"a": value})

    @pytest.mark.parametrize("text", ["\0", "a\0b", "\\\0", "\\\\\0", "\0\\u0000"])
    @pytest.mark.parametrize("wrap", [lambda t: {"a": t}, lambda t: {t: 1}, lambda t: {"a": [[t]]}])
    def test_refuses_nul_wherever_it_hides(self, text: str, wrap: Any) -> None:
        with pytest.raises(ValueError, match="NUL"):
            json_text(wrap(text))

    @pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "\\\\\\u0000", "u0000", "\\"])
    def test_takes_texts_that_only_look_like_nul(self, text: str) -> None:
        assert json.loads(json_text({"a": text, text: 1})) == {"a": text, text: 1}

    @pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\udcff"])
    @pytest.mark.parametrize("wrap", [lambda t: {"a": t}, lambda t: {t: 1}])
    def test_refuses_lone_surrogates(self, text: str, wrap: Any) -> None:
        with pytest.raises(ValueError, match="surrogates"):
            json_text(wrap(text))

    def test_takes_every_other_text_as_it_is(self) -> None:
        value = {"😀": ["ü", "\u2028", "\ufffe", "\x7f", "\x01", '"', "\\"]}
        assert json.loads(json_text(value)) == value
