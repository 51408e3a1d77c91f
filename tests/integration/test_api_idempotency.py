"""Idempotency-Key on ``POST /tasks``: one task however often it is sent, also at the same time."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from tasks_app.models import Task
from tests.factories import make_key
from tests.support.api import Api, fields_of, problem_of
from tests.support.waiting import eventually

BODY = b'{"type":"DUMMY","priority":5,"payload":{"sleepDurationMs":1,"shouldFail":false}}'


class TestIdempotencyKey:
    def test_the_same_request_again_answers_the_same_task(self, api: Api) -> None:
        first = api.post("/tasks", BODY, Idempotency_Key="k")
        again = api.post("/tasks", BODY, Idempotency_Key="k")
        assert (first.status_code, again.status_code) == (201, 200)
        assert again["Idempotent-Replayed"] == "true"
        assert "Idempotent-Replayed" not in first
        assert again.json() == first.json()
        assert again["ETag"] == first["ETag"]
        assert first.json()["idempotencyKey"] == "k"

    def test_the_spelling_of_the_json_does_not_matter(self, api: Api) -> None:
        api.post("/tasks", BODY, Idempotency_Key="k")
        spelt = b'{ "payload":{"shouldFail":false,"sleepDurationMs":1}, "priority":5,\n"type":"DUMM\\u0059" }'
        assert api.post("/tasks/", spelt, Idempotency_Key="k").status_code == 200

    @pytest.mark.parametrize("body", [b'{"type":"DUMMY"}', BODY.replace(b":5", b":6"), BODY.replace(b"false", b"true")])
    def test_another_request_conflicts(self, api: Api, body: bytes) -> None:
        api.post("/tasks", BODY, Idempotency_Key="k")
        problem_of(api.post("/tasks", body, Idempotency_Key="k"), 409)
        assert Task.objects.count() == 1

    def test_a_replay_shows_the_task_as_it_is_now(self, api: Api) -> None:
        task_id = api.post("/tasks", BODY, Idempotency_Key="k").json()["id"]
        api.delete(f"/tasks/{task_id}")
        again = api.post("/tasks", BODY, Idempotency_Key="k")
        assert (again.json()["id"], again.json()["status"]) == (task_id, "CANCELLED")

    def test_each_api_key_has_keys_of_its_own(self, api: Api) -> None:
        api.post("/tasks", BODY, Idempotency_Key="k")
        assert Api(make_key()).post("/tasks", BODY, Idempotency_Key="k").status_code == 201

    def test_a_refused_request_leaves_the_key_free(self, api: Api) -> None:
        fields_of(api.post("/tasks", {"type": "DUMMY", "priority": 1000}, Idempotency_Key="k"))
        assert api.post("/tasks", BODY, Idempotency_Key="k").status_code == 201

    @pytest.mark.parametrize("key", ["", " ", "a b", "ä", "x" * 256, "a\tb", "\x7f"])
    def test_must_be_visible_ascii(self, api: Api, key: str) -> None:
        assert fields_of(api.post("/tasks", BODY, Idempotency_Key=key)) == {"Idempotency-Key"}

    def test_may_be_255_characters_long(self, api: Api) -> None:
        assert api.post("/tasks", BODY, Idempotency_Key="~" * 255).status_code == 201


class TestParallelSends:
    def test_fifty_at_once_make_one_task(self, committed_db: None) -> None:
        secret = make_key()
        together = threading.Barrier(50)

        def send(_: int) -> tuple[int, str]:
            try:
                api = Api(secret)
                together.wait(30)
                response = api.post("/tasks", BODY, Idempotency_Key="k")
                return response.status_code, response.json()["id"]
            finally:
                connection.close()

        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(send, range(50)))
        assert Counter(status for status, _ in answers) == {201: 1, 200: 49}
        assert len({task_id for _, task_id in answers}) == 1
        assert Task.objects.count() == 1

    def test_the_loser_waits_and_makes_the_task_when_the_winner_gives_up(self, committed_db: None) -> None:
        secret = make_key(name="caller")
        winner = connection.copy()
        winner.set_autocommit(False)
        with winner.cursor() as cursor:
            cursor.execute(
                "INSERT INTO idempotency_keys (created_by, key, fingerprint, task_ids)"
                " VALUES ('caller', 'k', '\\x00', '{}')"
            )
        with ThreadPoolExecutor(1) as pool:
            loser = pool.submit(_send, secret)
            eventually(_somebody_waits_for_a_lock)
            assert not loser.done()
            winner.rollback()
            winner.close()
            assert loser.result(30) == 201


def _send(secret: str) -> int:
    try:
        return int(Api(secret).post("/tasks", BODY, Idempotency_Key="k").status_code)
    finally:
        connection.close()


def _somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
        return cursor.fetchone() is not None
