"""What the documents promise of HTTP tasks on their way through the API and the database, and out again."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from tasks_app.executors.http_payload import HttpCall
from tasks_app.models import Task
from tasks_app.retries import RetryAt, RetryPolicy, decide
from tests.factories import make_key
from tests.support.api import Api
from tests.support.http_attempts import run
from tests.support.peers import Peer, response, says

pytestmark = pytest.mark.django_db

JSON_TEXT = '{ "b": 1.50, "aa": 2, "a": {"zz": [3, 1, 2], "y": null}, "é": "ü" }'


def stored(body: Any) -> dict[str, Any]:
    """The payload of a task with this body, as its worker reads it."""
    answer = Api(make_key("tasks:write")).post(
        "/tasks", {"type": "HTTP", "payload": {"url": "http://127.0.0.1/", "method": "POST", "body": body}}
    )
    payload: dict[str, Any] = Task.objects.get(pk=answer.json()["id"]).payload
    return payload


class TestBody:
    def test_of_json_is_sent_in_the_order_of_the_database(self) -> None:
        """Of `jsonb`: shorter names first, those of one length by their bytes; blanks and trailing zeros are gone."""
        sent = HttpCall.parse(stored(json.loads(JSON_TEXT))).body
        assert sent == '{"a":{"y":null,"zz":[3,1,2]},"b":1.5,"aa":2,"é":"ü"}'.encode()

    def test_of_text_is_sent_byte_for_byte(self) -> None:
        payload = stored(JSON_TEXT)
        with Peer(says(response())) as peer:
            run(peer.url(), method="POST", body=payload["body"], headers={"Content-Type": "application/json"})
        [got] = peer.requests
        assert (got.body, got.headers["content-type"]) == (JSON_TEXT.encode(), "application/json")


class TestRetryAfter:
    @pytest.mark.parametrize(("asked", "waits"), [("1", 2), ("30", 30), ("3600", 60)])
    def test_is_waited_for_as_long_as_max_delay_ms_allows(self, asked: str, waits: int) -> None:
        with Peer(says(response(503, retry_after=asked))) as peer:
            outcome = run(peer.url())
        policy = RetryPolicy.merged(
            {"backoff": "fixed", "baseDelayMs": 2000, "maxDelayMs": 60_000, "jitter": False},
            base_delay=timedelta(seconds=1),
            max_delay=timedelta(hours=5),
        )
        decision = decide(outcome, retry_count=0, max_retries=1, policy=policy, chance=1.0)
        assert decision == RetryAt(timedelta(seconds=waits))
