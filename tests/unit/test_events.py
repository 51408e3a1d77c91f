"""Who is told of which end, under which id, and in which words."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from access_app.ids import created_at
from workflows_app.callbacks.endings import consequences
from workflows_app.callbacks.events import (
    GIVEN_UP_AFTER,
    MOST_OF_A_RESULT,
    RETRY_DELAYS,
    Disabled,
    End,
    Event,
    Receiver,
    messages,
    statuses_of,
)

AT = datetime(2026, 1, 1, 10, tzinfo=UTC)
TASK, OTHER = UUID(int=7), UUID(int=8)
ALL = Receiver(UUID(int=1), "all", "https://all.example/", frozenset(Event), None, None, False)
NONE = replace(ALL, id=UUID(int=2), name="named", url="https://named.example/", events=frozenset())


def end(status: str = "SUCCESS", callback: Any = None, **values: Any) -> End:
    given = {"id": TASK, "type": "DUMMY", "queue": "default", "attempt": 1, "version": 5, "finished_at": AT}
    text = json.dumps(callback) if callback else None
    return End(**given | {"status": status, "correlation_id": "c", "callback": text} | values)


def told(*ends: End, receivers: tuple[Receiver, ...] = (ALL, NONE)) -> list[str]:
    """Who, by url."""
    return [message.url for message in messages(ends, receivers)]


class TestMessages:
    def test_go_to_who_listens(self) -> None:
        assert told(end()) == ["https://all.example/"]

    @pytest.mark.parametrize(
        ("events", "ends", "count"),
        [
            ({Event.SUCCEEDED}, end(), 1),
            ({Event.FAILED}, end(), 0),
            ({Event.FAILED}, end("FAILED"), 1),
            ({Event.FAILED}, end("FAILED", error_code="QUARANTINED"), 1),
            ({Event.QUARANTINED}, end("FAILED", error_code="QUARANTINED"), 1),
            ({Event.QUARANTINED}, end("FAILED", error_code="TIMED_OUT"), 0),
            ({Event.CANCELLED}, end("CANCELLED"), 1),
        ],
    )
    def test_are_about_what_was_asked_for(self, events: set[Event], ends: End, count: int) -> None:
        assert len(told(ends, receivers=(replace(ALL, events=frozenset(events)),))) == count

    def test_are_of_the_queues_that_were_asked_for(self) -> None:
        receivers = (replace(ALL, queues=frozenset({"billing"})),)
        assert (told(end(), receivers=receivers), len(told(end(queue="billing"), receivers=receivers))) == ([], 1)

    def test_go_to_the_endpoint_that_a_task_names_once_however_often_it_hears(self) -> None:
        assert told(end(callback={"endpoint": "named"})) == ["https://all.example/", "https://named.example/"]
        assert told(end(callback={"endpoint": "all"})) == ["https://all.example/"]
        assert told(end(callback={"endpoint": "gone"})) == ["https://all.example/"]

    @pytest.mark.parametrize(
        ("status", "on", "count"),
        [("SUCCESS", None, 1), ("SUCCESS", ["failed"], 0), ("FAILED", ["failed"], 1), ("CANCELLED", ["cancelled"], 1)],
    )
    def test_go_to_the_url_of_a_task_when_it_asks_for_such_an_end(self, status: str, on: Any, count: int) -> None:
        callback = {"url": "https://own.example/"} | ({"on": on} if on else {})
        assert len(told(end(status, callback), receivers=())) == count

    def test_have_an_id_of_task_end_and_receiver(self) -> None:
        [one], [again] = messages([end()], [ALL]), messages([end(queue="other")], [ALL])
        assert one.delivery_id == again.delivery_id
        others = [end(version=6), end(id=OTHER)]
        ids = {message.delivery_id for message in messages([end(), *others], [ALL, replace(ALL, id=OTHER)])}
        assert len(ids) == 6
        assert {each.version for each in ids} == {7}
        assert abs(created_at(one.delivery_id) - AT) < timedelta(milliseconds=2)
        assert "." not in one.webhook_id

    def test_are_thin(self) -> None:
        [message] = messages([end("FAILED", error_code="TIMED_OUT", result='{"a": 1}')], [ALL])
        assert json.loads(message.body) == {
            "type": "task.failed",
            "timestamp": "2026-01-01T10:00:00.000000Z",
            "data": {
                "task": {
                    "id": str(TASK),
                    "type": "DUMMY",
                    "queue": "default",
                    "status": "FAILED",
                    "attempt": 1,
                    "correlationId": "c",
                    "finishedAt": "2026-01-01T10:00:00.000000Z",
                    "errorCode": "TIMED_OUT",
                },
                "links": {"task": f"/tasks/{TASK}"},
            },
        }

    @pytest.mark.parametrize(
        ("result", "shown", "left_out"),
        [
            ('{"a": 1}', {"a": 1}, False),
            (None, None, False),
            (json.dumps("x" * (MOST_OF_A_RESULT - 2)), "x" * (MOST_OF_A_RESULT - 2), False),
            (json.dumps("x" * (MOST_OF_A_RESULT - 1)), None, True),
        ],
    )
    def test_have_the_result_when_it_was_asked_for_and_is_not_large(
        self, result: str | None, shown: Any, left_out: bool
    ) -> None:
        [message] = messages([end(result=result)], [replace(ALL, include="result")])
        task = json.loads(message.body)["data"]["task"]
        assert (task["result"], task["resultLeftOut"]) == (shown, left_out)

    @pytest.mark.parametrize("result", ["[" * 5000 + "]" * 5000, "1e400", "0.1000000000000000000000001"])
    def test_have_it_as_it_was_stored(self, result: str) -> None:
        [message] = messages([end(result=result)], [replace(ALL, include="result")])
        assert f'"result":{result},"resultLeftOut":false' in message.body


class TestStatusesOf:
    def test_are_those_that_the_events_are_about(self) -> None:
        assert statuses_of(Event) == ["CANCELLED", "FAILED", "SUCCESS"]
        assert statuses_of([Event.QUARANTINED]) == ["FAILED"]


class TestRetryDelays:
    def test_are_those_of_the_specification(self) -> None:
        hours = [each / timedelta(hours=1) for each in RETRY_DELAYS]
        assert hours == [5 / 3600, 5 / 60, 0.5, 2, 5, 10, 14, 20, 24]


class TestConsequences:
    """``endings``: what the ends of deliveries mean for their endpoint."""

    def delivery(self, status: str, made: datetime, code: str | None = None) -> End:
        return end(status, id=UUID(int=int(made.timestamp() * 1000) << 80), status_code=code)

    def test_fails_from_when_the_first_one_was_made_that_did_not_arrive(self) -> None:
        first, second = self.delivery("FAILED", AT), self.delivery("FAILED", AT + timedelta(hours=1))
        assert consequences(None, [first, second], AT + timedelta(days=3)) == (AT, None)
        assert consequences(AT - timedelta(hours=1), [first], AT) == (AT - timedelta(hours=1), None)

    def test_one_that_arrives_ends_that(self) -> None:
        arrived = self.delivery("SUCCESS", AT, "200")
        assert consequences(AT - GIVEN_UP_AFTER, [arrived], AT) == (None, None)

    def test_five_days_are_the_end(self) -> None:
        failed, nearly = self.delivery("FAILED", AT, "500"), AT + GIVEN_UP_AFTER - timedelta(seconds=1)
        assert consequences(AT, [failed], nearly) == (AT, None)
        assert consequences(AT, [failed], AT + GIVEN_UP_AFTER) == (AT, Disabled.FAILING)

    def test_so_is_410(self) -> None:
        assert consequences(None, [self.delivery("FAILED", AT, "410")], AT)[1] is Disabled.GONE

    def test_what_was_cancelled_says_nothing(self) -> None:
        assert consequences(None, [self.delivery("CANCELLED", AT)], AT) == (None, None)
