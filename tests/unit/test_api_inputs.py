"""Bodies about tasks: read by hand, strictly. What each field refuses is tested through the API."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from access_app.http.idempotency import read_idempotency
from access_app.http.problems import Problem
from flow_app.api.inputs import read_pause
from tasks_app.api import inputs
from tasks_app.fields import NewTask
from tasks_app.new_tasks import InvalidTask


class TestReadTask:
    def test_leaves_defaults_to_the_domain(self) -> None:
        task = inputs.read_task({"type": "DUMMY"})
        assert (task.new, task.text) == (NewTask(type="DUMMY"), "{}")

    def test_null_is_absent_where_there_is_no_default_of_its_own(self) -> None:
        names = ("scheduleAt", "maxRetries", "expiresAt", "correlationId", "concurrencyKey", "retry")
        assert inputs.read_task({"type": "DUMMY", **dict.fromkeys(names)}).new == NewTask(type="DUMMY")

    def test_keeps_the_payload_as_text_that_was_encoded_once(self) -> None:
        assert inputs.read_task({"type": "DUMMY", "payload": {"sleepDurationMs": 5}}).text == '{"sleepDurationMs":5}'

    def test_tells_problems_of_types_and_of_ranges_together(self) -> None:
        with pytest.raises(InvalidTask) as refused:
            inputs.read_task({"type": "DUMMY", "priority": 1000, "queue": 7, "payload": {"x": 1}})
        assert set(refused.value.problems) == {"priority", "queue", "payload.x"}

    def test_a_very_long_field_name_is_not_repeated_in_full(self) -> None:
        with pytest.raises(InvalidTask) as refused:
            inputs.read_task({"type": "DUMMY", "x" * 100_000: 1})
        assert max(map(len, refused.value.problems)) == 100


class TestReadChanges:
    def test_returns_columns(self) -> None:
        changes = inputs.read_changes({"maxRetries": 0, "expiresAt": None, "queue": "q"}, "DUMMY")
        assert changes == {"max_retries": 0, "expires_at": None, "queue": "q"}

    def test_does_not_look_at_a_payload_it_does_not_change(self) -> None:
        # An HTTP task always has a url; changing its priority must not ask for one.
        assert inputs.read_changes({"priority": 1}, "HTTP") == {"priority": 1}

    def test_of_a_type_that_is_not_installed_any_more_all_but_the_payload_can_be_changed(self) -> None:
        assert inputs.read_changes({"priority": 1}, "GONE") == {"priority": 1}
        with pytest.raises(InvalidTask):
            inputs.read_changes({"payload": {}}, "GONE")


class TestReadIdempotency:
    def test_is_none_without_a_header(self) -> None:
        assert read_idempotency(None, "POST /tasks", {}) is None

    def test_equal_json_has_one_fingerprint(self) -> None:
        one = read_idempotency("k", "op", {"a": 1, "b": {"c": [1, 2], "d": "\u00e9"}})
        assert one == read_idempotency("k", "op", {"b": {"d": "é", "c": [1, 2]}, "a": 1})

    @pytest.mark.parametrize(
        ("one", "other"), [(1, 1.0), (1, True), (0, False), ("1", 1), (None, "null"), ([1, 2], [2, 1]), ({}, [])]
    )
    def test_different_json_has_another(self, one: object, other: object) -> None:
        assert read_idempotency("k", "op", one) != read_idempotency("k", "op", other)

    def test_another_operation_has_another(self) -> None:
        assert read_idempotency("k", "POST /a", {}) != read_idempotency("k", "POST /b", {})

    def test_refuses_bodies_nested_beyond_reading(self) -> None:
        deep: list[object] = []
        for _ in range(100_000):
            deep = [deep]
        with pytest.raises(Problem):
            read_idempotency("k", "op", deep)


class TestReadPause:
    NOW = datetime(2030, 1, 1, tzinfo=UTC)

    def test_needs_nothing(self) -> None:
        assert read_pause({}, self.NOW) == ("", None)

    def test_ends_in_the_future(self) -> None:
        assert read_pause({"until": "2030-01-01T00:00:01Z"}, self.NOW)[1] == self.NOW.replace(second=1)
        with pytest.raises(Problem):
            read_pause({"until": "2030-01-01T00:00:00Z"}, self.NOW)
