"""Results that came too late are told with what keeps them, once and under one id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from access_app.database_faults import DatabaseAway
from tasks_app.models import Task
from tasks_app.sessions import Session
from tasks_app.starting import Attempt
from tests.factories import make_key
from tests.integration.workflows.test_telling import URL, body_of, settle
from tests.support.api import Api
from tests.support.engine import FAILED, SUCCEEDED, Engine, endings
from tests.support.logs import capture_logs
from tests.support.webhooks import make_endpoint
from workers_app import late_results
from workers_app.late_results import keep_late_results
from workflows_app.callbacks import telling
from workflows_app.callbacks.events import Event
from workflows_app.callbacks.tables import Delivery

OpenSession = Callable[[], Session]
ASKED = {**URL, "on": ["late_result"]}


def late(engine: Engine, **fields: Any) -> tuple[Any, Attempt]:
    """A worker that was taken for dead, and the attempt it has gone on with."""
    worker = engine.worker()
    attempt = engine.running(worker, **fields)
    engine.lose(worker)
    return worker, attempt


class TestTellLate:
    def test_tells_who_asked_for_it_once(self, engine: Engine) -> None:
        worker, attempt = late(engine, callback=ASKED)
        assert [engine.keep_late(worker, attempt, FAILED) for _ in range(2)] == [True, False]
        [delivery] = Delivery.objects.all()
        body = body_of(delivery)
        [execution] = engine.executions(attempt.task_id)
        assert (delivery.event, body["type"], delivery.url) == ("task.late_result", "task.late_result", URL["url"])
        assert body["timestamp"] == execution.late["at"]
        task = body["data"]["task"]
        assert (task["id"], task["attempt"], task["outcome"]) == (str(attempt.task_id), 1, "FAILED")
        assert (task["status"], task["finishedAt"], task["errorCode"]) == ("PENDING", None, "TASK_FAILED")
        assert engine.violations() == {}

    def test_tells_endpoints_that_hear_of_it_with_the_result(self, engine: Engine) -> None:
        make_endpoint(name="late", events=[Event.LATE_RESULT], include="result")
        make_endpoint(name="ends", events=[Event.SUCCEEDED, Event.FAILED, Event.CANCELLED])
        make_endpoint(name="elsewhere", events=[Event.LATE_RESULT], queues=["other"])
        worker, attempt = late(engine)
        engine.keep_late(worker, attempt, SUCCEEDED)
        [delivery] = Delivery.objects.all()
        assert (delivery.endpoint.name, body_of(delivery)["data"]["task"]["result"]) == ("late", SUCCEEDED.result)  # type: ignore[union-attr]

    def test_is_no_end_and_marks_no_task(self, engine: Engine) -> None:
        make_endpoint(events=[Event.LATE_RESULT])
        worker, attempt = late(engine, callback=URL)
        engine.keep_late(worker, attempt, SUCCEEDED)
        assert Delivery.objects.filter(url=URL["url"]).count() == 0
        assert not Task.objects.get(pk=engine.create()).notifies
        engine.run(attempt.task_id)
        settle(engine)
        assert sorted(Delivery.objects.values_list("event", flat=True)) == ["task.late_result", "task.succeeded"]

    @pytest.mark.parametrize("place", ["kept", "told"])
    def test_that_dies_keeps_nothing_and_is_made_up_for(
        self, engine: Engine, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        worker, attempt = late(engine, callback=ASKED)
        dying = open_session()
        pid, tell = dying.connection.info.backend_pid, late_results.tell_late

        def killed(*args: Any) -> int:
            told = tell(*args) if place == "told" else 0
            engine.session.fetch("SELECT pg_terminate_backend(%s, 5000)", [pid])
            return told or tell(*args)

        monkeypatch.setattr(late_results, "tell_late", killed)
        with pytest.raises(DatabaseAway):
            keep_late_results(dying, worker, endings([attempt]))
        assert (engine.executions(attempt.task_id)[0].late, Delivery.objects.count()) == (None, 0)
        monkeypatch.undo()
        for _ in range(2):
            keep_late_results(dying, worker, endings([attempt]))
        assert Delivery.objects.count() == 1

    def test_is_kept_all_the_same_when_it_cannot_be_told(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        worker, attempt = late(engine, callback=ASKED)
        monkeypatch.setattr(telling, "deliver", lambda *args: 1 / 0)
        with capture_logs() as lines:
            assert engine.keep_late(worker, attempt, SUCCEEDED)
        assert [line["event"] for line in lines if line["log_level"] == "error"] == ["late_results_not_told"]
        assert engine.executions(attempt.task_id)[0].late["outcome"] == "SUCCESS"


class TestApi:
    def test_takes_it_as_an_event_and_in_a_callback(self, db: None) -> None:
        api = Api(make_key())
        made = api.post("/webhook-endpoints", {"name": "late", "url": "https://h/", "on": ["task.late_result"]})
        assert made.json()["on"] == ["task.late_result"]
        assert api.post("/tasks", {"type": "DUMMY", "callback": ASKED}).json()["callback"] == ASKED
