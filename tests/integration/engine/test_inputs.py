"""What attempts take from results, at their start: from the rows of others into the payload, and what fails instead."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import psycopg
import pytest

from access_app.database_faults import DatabaseAway
from tasks_app import services
from tasks_app.executors.base import Execution, Outcome, StopReason
from tasks_app.models import TaskInputs
from tasks_app.states import ErrorCode
from tasks_app.used_inputs import find_result, inputs_of
from tests.support.engine import CANCELLED, FAILED_FOR_GOOD, RELEASED
from tests.support.taking import Taking, argv, http, of
from workers_app import inputs
from workers_app.runner import run_attempt


class TestTake:
    def test_puts_parts_of_results_where_they_were_asked_for(self, taking: Taking) -> None:
        one, two = taking.ended(), taking.ended(Outcome.success({"stdout": "a line\n"}))
        body = {"rows": of(one, "/body/rows"), "all": of(two), "or": of(two, "/none", default=None)}
        attempt = taking.started(http(body, **{"X-Total": of(one, "/body/total")}), one, two)
        outcome, execution = taking.take(attempt)
        assert outcome is None
        assert execution.payload == http(
            {"rows": [{"id": 7}], "all": {"stdout": "a line\n"}, "or": None}, **{"X-Total": "17"}
        )
        number, used = inputs_of(attempt.task_id)
        assert (number, sorted(used, key=lambda each: each["field"])) == (
            1,
            [
                field("body.all", two, "") | {"origin": "result", "value": {"stdout": "a line\n"}},
                field("body.or", two, "/none") | {"origin": "default", "value": None},
                field("body.rows", one, "/body/rows") | {"origin": "result", "value": [{"id": 7}]},
                field("headers.X-Total", one, "/body/total") | {"origin": "result", "value": "17"},
            ],
        )

    def test_costs_a_task_that_takes_nothing_no_trip(self, taking: Taking, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(inputs, "find_result", None)
        for payload in (http("$from"), http({"a": '{"$from": 1}'})):
            outcome, execution = taking.take(taking.started(payload, depends_on=None, run_if="all_success"))
            assert (outcome, execution.payload) == (None, payload)
        assert taking.inputs._session.epoch == 0
        assert not TaskInputs.objects.exists()

    def test_never_looks_into_what_a_result_says_for_references(self, taking: Taking) -> None:
        parent = taking.ended(Outcome.success({"body": {"$from": "x", "to": 1}, "argv": "$(id); `id`"}))
        _, execution = taking.take(taking.started(http({"a": of(parent, "/body")}), parent))
        assert execution.payload["body"] == {"a": {"$from": "x", "to": 1}}
        _, execution = taking.take(taking.started(argv(of(parent, "/argv")), parent, task_type="SHELL"))
        assert execution.payload["argv"] == ["echo", "$(id); `id`"]

    def test_takes_of_a_failed_task_what_there_is(self, taking: Taking) -> None:
        parent = taking.ended(Outcome.failure(ErrorCode.EXIT_CODE, "1", result={"stderr": "no"}, retryable=False))
        outcome, execution = taking.take(taking.started(argv(of(parent, "/stderr")), parent, task_type="SHELL"))
        assert (outcome, execution.payload["argv"]) == (None, ["echo", "no"])

    @pytest.mark.parametrize(
        ("ended", "status"), [(FAILED_FOR_GOOD, "FAILED"), (CANCELLED, "CANCELLED"), (Outcome.success(), "SUCCESS")]
    )
    def test_fails_without_a_result_or_a_default(self, taking: Taking, ended: Outcome, status: str) -> None:
        parent = taking.ended(ended)
        code, message = taking.failure(http(of(parent)), parent)
        assert code == ErrorCode.INPUT_MISSING
        assert message == f"payload.body: task {parent}, which is {status}, has no result"
        outcome, execution = taking.take(taking.started(http([of(parent, default=1)]), parent))
        assert (outcome, execution.payload["body"]) == (None, [1])

    def test_fails_where_there_is_nothing_and_names_all(self, taking: Taking) -> None:
        parent = taking.ended()
        gone = UUID(int=1)
        attempt = taking.started(http([of(parent, "/body/row"), of(parent, "/statusCode")]), parent)
        attempt = attempt._replace(payload=attempt.payload.replace("/statusCode", "/nothing"))
        outcome, _ = taking.take(attempt)
        assert outcome is not None and outcome.error_message is not None
        assert outcome.error_message.split("; ") == [
            f"payload.body.0: in the result of task {parent}, the object at /body has no 'row'",
            f"payload.body.1: in the result of task {parent}, the object at its top has no 'nothing'",
        ]
        assert [each["origin"] for each in inputs_of(attempt.task_id)[1]] == ["missing", "missing"]
        outcome, _ = taking.take(attempt._replace(payload=attempt.payload.replace(str(parent), str(gone))))
        assert outcome is not None and f"task {gone} is no longer there" in str(outcome.error_message)

    @pytest.mark.parametrize(
        ("result", "payload", "problem"),
        [
            ({"a": None}, argv(1), "payload.argv.1: is null, and must become a text"),
            ({"a": "x" * 131_072}, argv(1), "payload.argv.1: must be shorter than 131072 bytes"),
            ({"a": "x\r\nX-Admin: 1"}, http(**{"X-A": 1}), "payload.headers.X-A: must be Latin-1 text without line"),
            ({"a": "\u2028"}, http(**{"X-A": 1}), "payload.headers.X-A: must be Latin-1 text without line"),
            ({"a": {"b": '{"c": "\\u0000"}'}}, http(1), "payload.body: must not contain NUL"),
            ({"a": {"b": '{"c": "\\ud800"}'}}, http(1), "payload.body: must not contain lone surrogates"),
            ({"a": {"b": '{"c": ' + "[" * 40 + "]" * 40 + "}"}}, http(1), "payload.body: must not be nested deeper"),
            ({"a": {"b": '{"c": 1e400}'}}, http(1), "payload.body: must be JSON: no NaN, no infinity"),
        ],
        ids=range(8),
    )
    def test_fails_on_what_is_of_no_use_where_it_stands(
        self, taking: Taking, result: Any, payload: Any, problem: str
    ) -> None:
        parent = taking.ended(Outcome.success(result))
        path = "/a/b/c" if isinstance(result["a"], dict) else "/a"
        payload = json.loads(json.dumps(payload).replace("1", json.dumps(of(parent, path))))
        task_type = "SHELL" if "argv" in payload else "HTTP"
        code, message = taking.failure(payload, parent, task_type=task_type)
        assert code == ErrorCode.INPUT_INVALID
        assert str(message).startswith(problem)

    def test_fails_when_the_payload_has_become_too_large(self, taking: Taking) -> None:
        parent = taking.ended(Outcome.success({"a": "ä" * 60_000}))
        outcome, execution = taking.take(taking.started(http([of(parent, "/a")] * 2), parent))
        assert outcome is None and len(json.dumps(execution.payload, ensure_ascii=False).encode()) < 256 * 1024
        code, message = taking.failure(http([of(parent, "/a")] * 3), parent)
        assert (code, str(message)[:17]) == (ErrorCode.INPUT_TOO_LARGE, "payload: with wha")
        code, message = taking.failure(http([of(parent, "/a")] * 100), parent)
        assert (code, str(message)[:15]) == (ErrorCode.INPUT_TOO_LARGE, "payload.body.4:")

    def test_takes_what_the_latest_attempt_says_and_keeps_what_the_latest_start_took(self, taking: Taking) -> None:
        parent = taking.ended()
        first = taking.started(http(of(parent, "/statusCode")), parent)
        taking.take(first)
        taking.engine.finish(taking.worker, first, RELEASED)
        services.retry_task(parent, actor="me")
        taking.engine.assign()
        again, second = sorted(taking.engine.start(taking.worker), key=lambda each: each.task_id != parent)
        taking.engine.finish(taking.worker, again, Outcome.success({"statusCode": 201}))
        _, execution = taking.take(second)
        assert execution.payload["body"] == 201
        attempt, [used] = inputs_of(second.task_id)
        assert (attempt, used["attempt"], used["value"]) == (2, 2, 201)

    def test_waits_for_a_database_that_is_away(self, taking: Taking, monkeypatch: pytest.MonkeyPatch) -> None:
        parent, waits = taking.ended(), []
        attempt = taking.started(http(of(parent, "/statusCode")), parent)
        found = iter([DatabaseAway("away"), DatabaseAway("away"), find_result(taking.engine.session, parent)])

        def find(*_: object) -> Any:
            answer = next(found)
            if isinstance(answer, DatabaseAway):
                raise answer
            return answer

        monkeypatch.setattr(inputs, "find_result", find)
        monkeypatch.setattr(Execution, "wait", lambda self, seconds: waits.append(seconds))
        outcome, execution = taking.take(attempt)
        assert (outcome, execution.payload["body"], len(waits)) == (None, 200, 2)

    def test_ends_as_it_is_told_to_while_the_database_is_away(
        self, taking: Taking, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        parent = taking.ended()
        attempt = taking.started(http(of(parent)), parent)

        def away(*_: object) -> None:
            raise DatabaseAway("away")

        monkeypatch.setattr(inputs, "find_result", away)
        monkeypatch.setattr(Execution, "wait", lambda self, seconds: self.stop(StopReason.CANCEL))
        outcome, execution = taking.take(attempt)
        assert outcome is None
        assert run_attempt(execution).error_code == ErrorCode.CANCELLED

    def test_fails_and_is_tried_again_when_something_else_goes_wrong(
        self, taking: Taking, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        parent = taking.ended()

        def refuse(*_: object) -> None:
            raise psycopg.errors.InsufficientPrivilege("no")

        monkeypatch.setattr(inputs, "find_result", refuse)
        outcome, _ = taking.take(taking.started(http(of(parent)), parent))
        assert outcome is not None
        assert (outcome.error_code, outcome.retryable) == (ErrorCode.INTERNAL, True)

    def test_stops_an_attempt_that_was_taken_away(self, taking: Taking) -> None:
        parent = taking.ended()
        attempt = taking.started(http(of(parent)), parent)
        taking.engine.lose(taking.worker)
        outcome, execution = taking.take(attempt)
        assert (outcome, execution.stop_reason) == (None, StopReason.RELEASE)
        assert not TaskInputs.objects.exists()


def field(name: str, task_id: UUID, path: str) -> dict[str, Any]:
    return {"field": f"payload.{name}", "taskId": str(task_id), "attempt": 1, "path": path}
