"""Callbacks of queues and schedules: which a new task gets that says nothing of one."""

from __future__ import annotations

from typing import Any

import pytest

from flow_app import queues
from schedules_app.firing import fire_due
from schedules_app.stored import template_json, template_of
from tasks_app import notices, services
from tasks_app.fields import NewTask
from tasks_app.models import Task
from tests.factories import make_key
from tests.support.api import Api
from tests.support.engine import FAILED_FOR_GOOD, Engine
from tests.support.scheduled import FAN_IN, batch_schedule
from tests.support.schedules import make_schedule, tasks_of
from workflows_app.callbacks.tables import Delivery
from workflows_app.endings import settle_endings

OWN, OF_SCHEDULE, OF_QUEUE = ({"url": f"https://{name}.example/"} for name in ("own", "schedule", "queue"))
DUMMY: dict[str, Any] = {"type": "DUMMY", "payload": {}}


@pytest.fixture
def told(engine: Engine) -> Engine:
    """The queue `default` has a callback."""
    queues.edit_queue("default", {"callback": OF_QUEUE}, actor="test")
    return engine


def only() -> Any:
    return Task.objects.get().callback


class TestOfQueues:
    @pytest.mark.parametrize(
        ("body", "callback"),
        [({}, OF_QUEUE), ({"callback": OWN}, OWN), ({"callback": None}, None), ({"queue": "other"}, None)],
        ids=["absent", "own", "null", "another queue"],
    )
    @pytest.mark.parametrize("path", ["/tasks", "/tasks/bulk", "/batches"])
    def test_are_those_of_tasks_that_say_nothing(
        self, told: Engine, path: str, body: dict[str, Any], callback: Any
    ) -> None:
        task = DUMMY | body
        sent = {"/tasks": task, "/tasks/bulk": {"tasks": [task]}, "/batches": {"name": "b", "tasks": [task]}}
        assert Api(make_key()).post(path, sent[path]).status_code == 201
        made = Task.objects.get()
        assert (made.callback, made.notifies) == (callback, callback is not None)

    def test_are_called(self, told: Engine) -> None:
        task_id = services.create_task(NewTask(type="DUMMY", max_retries=0), created_by="test").task.pk
        told.run(task_id, FAILED_FOR_GOOD)
        settle_endings(told.session)
        assert Delivery.objects.get().url == OF_QUEUE["url"]

    def test_of_a_clone_are_those_of_its_original(self, told: Engine) -> None:
        silent = services.create_task(NewTask(type="DUMMY", callback={}), created_by="test").task
        assert services.clone_task(silent.pk, actor="test").callback is None

    def test_end_and_are_no_ones_any_more(self, told: Engine) -> None:
        queues.edit_queue("default", {"callback": None}, actor="test")
        told.create()
        assert only() is None

    def test_hold_in_other_processes_within_a_second(self, told: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(notices, "forget", lambda: None)
        monkeypatch.setattr("flow_app.queues.forget", lambda: None)
        told.create()
        queues.edit_queue("default", {"callback": OWN}, actor="test")
        assert Task.objects.get(pk=told.create()).callback == OF_QUEUE
        monkeypatch.setattr(notices._Known, "until", 0.0)
        assert Task.objects.get(pk=told.create()).callback == OWN

    def test_of_deliveries_are_for_nobody(self, engine: Engine) -> None:
        queues.edit_queue("callbacks", {"callback": OF_QUEUE}, actor="test")
        task_id = engine.create(callback=OWN)
        engine.run(task_id)
        settle_endings(engine.session)
        assert Delivery.objects.get().task.callback is None

    def test_are_checked_like_those_of_tasks(self, engine: Engine) -> None:
        api = Api(make_key())
        for value, field in (
            ({}, "callback.url"),
            ({"url": "ftp://h/"}, "callback.url"),
            ({"endpoint": "none"}, "callback.endpoint"),
            (7, "callback"),
        ):
            problems = api.patch("/queues/q", {"callback": value}).json()["errors"]
            assert [each["field"] for each in problems] == [field]
        assert api.patch("/queues/q", {"callback": OF_QUEUE}).json()["callback"] == OF_QUEUE
        assert api.get("/queues/q").json()["callback"] == OF_QUEUE


class TestOfSchedules:
    @pytest.mark.parametrize(
        ("task", "callback"),
        [(DUMMY, OF_SCHEDULE), (DUMMY | {"callback": OWN}, OWN), (DUMMY | {"callback": None}, None)],
        ids=["absent", "own", "null"],
    )
    def test_come_before_those_of_queues(self, told: Engine, task: dict[str, Any], callback: Any) -> None:
        schedule = make_schedule(task=task, callback=OF_SCHEDULE)
        fire_due(told.session)
        assert tasks_of(schedule)[0].callback == callback

    def test_are_those_of_the_queue_where_there_is_none(self, told: Engine) -> None:
        schedule = make_schedule()
        fire_due(told.session)
        assert tasks_of(schedule)[0].callback == OF_QUEUE

    def test_are_those_of_all_tasks_of_a_batch_and_of_what_follows(self, told: Engine) -> None:
        first, *others = FAN_IN["tasks"]
        template = FAN_IN | {"tasks": [first | {"callback": None}, *others]}
        batch_schedule(template, callback=OF_SCHEDULE)
        fire_due(told.session)
        found = {task.queue + task.type: task.callback for task in Task.objects.all()}
        assert found == {"defaultDUMMY": None, "usDUMMY": OF_SCHEDULE, "defaultHTTP": OF_SCHEDULE}

    def test_are_set_shown_and_checked(self, db: None) -> None:
        api, body = Api(make_key()), {"name": "s", "cron": "@daily", "task": DUMMY | {"callback": None}}
        made = api.post("/schedules", body | {"callback": OF_SCHEDULE}).json()
        assert (made["callback"], made["task"]["callback"]) == (OF_SCHEDULE, None)
        for value, field in (({}, "callback.url"), ({"endpoint": "none"}, "callback.endpoint"), (7, "callback")):
            problems = api.post("/schedules", body | {"name": "t", "callback": value}).json()["errors"]
            assert [each["field"] for each in problems] == [field]


class TestTemplates:
    @pytest.mark.parametrize("callback", [None, {}, OWN], ids=["absent", "nobody", "own"])
    def test_keep_what_is_said_of_a_callback(self, callback: Any) -> None:
        new = NewTask(type="DUMMY", callback=callback)
        stored = template_json(new)
        assert template_of(stored) == new
        assert ("callback" in stored, stored.get("callback")) == (callback is not None, callback or None)
