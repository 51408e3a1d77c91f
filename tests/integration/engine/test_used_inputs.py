"""What was taken from results: found, kept for the latest attempt, shown masked, deleted with its task, and cloned."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tasks_app import services
from tasks_app.executors.base import Outcome
from tasks_app.models import TaskInputs
from tasks_app.retention import Retention
from tasks_app.used_inputs import find_result, inputs_of, keep_inputs
from tests.support.engine import FAILED_FOR_GOOD, SUCCEEDED
from tests.support.taking import Taking, http, of
from workflows_app.endings import settle_endings


class TestFindResult:
    def test_is_that_of_the_latest_ended_attempt(self, taking: Taking) -> None:
        parent = taking.ended(Outcome.success({"n": 1}))
        assert find_result(taking.engine.session, parent) == ("SUCCESS", 1, '{"n": 1}')
        services.retry_task(parent, actor="me")
        assert find_result(taking.engine.session, parent) == ("PENDING", 1, '{"n": 1}')

    def test_is_none_of_a_task_that_has_not_ended_or_is_not_there(self, taking: Taking) -> None:
        assert find_result(taking.engine.session, taking.engine.create()) == ("PENDING", None, None)
        assert find_result(taking.engine.session, UUID(int=1)) is None


class TestKeepInputs:
    @pytest.mark.parametrize("change", ["attempt", "worker", "start", "end"])
    def test_keeps_nothing_for_an_attempt_that_is_not_running(self, taking: Taking, change: str) -> None:
        attempt = taking.engine.running(taking.worker)
        number, worker, started_at = attempt.attempt, taking.worker, attempt.started_at
        if change == "attempt":
            number += 1
        elif change == "worker":
            worker = UUID(int=1)
        elif change == "start":
            started_at = "2030-01-01T00:00:00Z"
        else:
            taking.engine.finish(taking.worker, attempt, SUCCEEDED)
        assert not keep_inputs(taking.engine.session, attempt.task_id, number, worker, started_at, "[]")
        assert not TaskInputs.objects.exists()

    def test_keeps_those_of_the_latest_attempt(self, taking: Taking) -> None:
        attempt = taking.engine.running(taking.worker)
        fence = (attempt.task_id, attempt.attempt, taking.worker, attempt.started_at)
        for used in ("[1]", "[2]"):
            assert keep_inputs(taking.engine.session, *fence, used)
        assert TaskInputs.objects.get().used == [2]
        TaskInputs.objects.update(attempt=9)
        assert not keep_inputs(taking.engine.session, *fence, "[3]")
        assert TaskInputs.objects.get().used == [2]


class TestInputsOf:
    @pytest.mark.parametrize(
        ("where", "path", "value", "shown"),
        [
            ("payload.environment.DB_PASSWORD", "/stdout", "hush", "••••••••"),
            ("payload.headers.Authorization", "", {"a": 1}, "••••••••"),
            ("payload.argv.1", "/body/access_token", "hush", "••••••••"),
            ("payload.argv.1", "", {"token": "hush", "n": [1]}, {"token": "••••••••", "n": [1]}),
            ("payload.body", "/body", '{"password": "hush", "n": 1}', '{"password":"••••••••","n":1}'),
            ("payload.body", "", {"stdout": '[{"secret": {"a": "hush"}}]'}, {"stdout": '[{"secret":"••••••••"}]'}),
            ("payload.argv.1", "/a", "https://me:hush@example.com/?sig=hush", None),
            ("payload.argv.1", "/a", "{no json", "{no json"),
            ("payload.argv.1", "/a", "[" * 99_999 + '{"password": "hush"}' + "]" * 99_999, "••••••••"),
            ("payload.body.token", "", None, None),
        ],
        ids=range(10),
    )
    def test_masks_what_pages_mask(self, taking: Taking, where: str, path: str, value: Any, shown: Any) -> None:
        attempt = taking.engine.running(taking.worker)
        used = {"field": where, "taskId": str(attempt.task_id), "attempt": 1, "path": path, "value": value}
        TaskInputs.objects.create(task_id=attempt.task_id, attempt=1, used=[used | {"origin": "result"}])
        [found] = inputs_of(attempt.task_id)[1]
        assert "hush" not in json.dumps(found)
        if shown is not None:
            assert found["value"] == shown


class TestDeletion:
    def test_takes_inputs_along_with_their_task(self, taking: Taking) -> None:
        parent = taking.ended()
        attempt = taking.started(http(of(parent)), parent)
        taking.take(attempt)
        taking.engine.finish(taking.worker, attempt, SUCCEEDED)
        for task_id in (parent, attempt.task_id):
            taking.engine.move(task_id, finished_at=-timedelta(days=8))
        assert Retention().delete(taking.engine.session) == 2
        assert not TaskInputs.objects.exists()


class TestClone:
    def test_depends_on_what_it_takes_results_of(self, taking: Taking) -> None:
        parent, other = taking.ended(FAILED_FOR_GOOD), taking.ended()
        attempt = taking.started(http(of(parent, default=1)), parent, other)
        clone = services.clone_task(attempt.task_id, actor="me")
        settle_endings(taking.engine.session)
        taking.engine.assign()
        [again] = taking.engine.start(taking.worker)
        assert again.task_id == clone.pk
        outcome, execution = taking.take(again)
        assert (outcome, execution.payload["body"]) == (None, 1)


class TestEdit:
    def test_takes_results_of_what_the_task_depends_on_only(self, taking: Taking) -> None:
        parent, other = taking.ended(), taking.ended()
        task_id = taking.engine.create(type="HTTP", payload=http(), depends_on=[str(parent)])
        services.edit_task(task_id, {"payload": http(of(parent))}, actor="me")
        with pytest.raises(services.InvalidTask) as raised:
            services.edit_task(task_id, {"payload": http(of(other))}, actor="me")
        assert list(raised.value.problems) == ["payload.body.$from"]
