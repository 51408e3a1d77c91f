"""A worker is frozen while its task runs, the task goes on elsewhere, and what the first attempt called comes back."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

import pytest

from tasks_app.fields import NewTask
from tasks_app.models import Task
from tests.support.api import Api, problem_of
from tests.support.batches import make
from tests.support.peers import Peer, Received
from tests.support.stack import Stack
from tests.support.waiting import eventually

ONE: dict[str, Any] = {"tasks": [{"type": "DUMMY", "queue": "children"}]}


@pytest.mark.chaos_long
def test_what_a_frozen_worker_has_called_is_refused_once_its_task_was_recovered(stack: Stack) -> None:
    def hold(peer: Peer, connection: socket.socket, _: Received) -> None:
        peer.leaving.wait(60)

    with Peer(hold) as receiver:
        payload = {"url": receiver.url(), "method": "POST"}
        batch = make(NewTask(type="HTTP", payload=payload, task_token=True), follow_ups={})
        [task] = Task.objects.filter(batch_id=batch.pk)
        stack.scheduler()
        frozen = stack.worker("--concurrency", "2", "--queues", "default")
        eventually(lambda: receiver.requests, timeout=20)
        first = Api(receiver.requests[0].headers["x-task-token"])
        path = f"/batches/{receiver.requests[0].headers['x-task-batch-id']}/tasks"
        assert first.post(path, ONE).status_code == 201
        os.kill(stack.worker_pid(frozen), signal.SIGSTOP)
        stack.worker("--concurrency", "2", "--queues", "default")
        eventually(lambda: len(receiver.requests) > 1, timeout=30)
        second = Api(receiver.requests[1].headers["x-task-token"])
        assert receiver.requests[1].headers["x-task-attempt"] == "2"
        assert problem_of(first.post(path, ONE), 401)["type"].endswith(":attempt-over")
        problem_of(first.put(f"/tasks/{task.pk}/progress", {"percent": 99}), 401)
        assert second.post(path, ONE).status_code == 201
        assert Task.objects.filter(batch_id=batch.pk, queue="children").count() == 2
