"""Messages about ends, while the processes that make and bring them are killed; and what the receiver saw of them."""

from __future__ import annotations

import json
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tasks_app import services
from tasks_app.fields import NewTask
from tests.support.stack import Stack, query
from tests.support.waiting import eventually
from tests.support.webhooks import make_endpoint, verify
from workflows_app.callbacks.tables import Delivery


class Receiver(ThreadingHTTPServer):
    """On loopback; keeps what it got, and fails some of it."""

    def __init__(self, failing: float) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.chance, self.failing = random.Random(7), failing
        self.seen: Counter[tuple[str, str]] = Counter()
        self.refused = 0
        self.secret = ""
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.server.lock:
            try:
                told = verify(self.server.secret, body, headers)["data"]["task"]["id"]
            except Exception:
                self.server.refused += 1
                raise
            failing = self.server.chance.random() < self.server.failing
            if not failing:
                self.server.seen[headers["webhook-id"], json.dumps(told)] += 1
        self.send_response(503 if failing else 204)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(failing=0.2) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join(5)


def story(stack: Stack, receiver: Receiver, *, tasks: int, kills: int, of_each: int = 2) -> None:
    """Tasks end while schedulers and workers are killed; each end reaches the receiver, under one id."""
    stack.environment |= {"TASK_MAX_CRASHES": "1000", "HTTP_ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8"}
    _, receiver.secret = make_endpoint(url=receiver.url)
    schedulers = [stack.scheduler() for _ in range(of_each)]
    workers = [stack.worker("--concurrency", "8") for _ in range(of_each)]
    new = NewTask(type="DUMMY", payload={"sleepDurationMs": 20})
    ids = services.create_tasks([new] * tasks, created_by="test")

    def seen() -> int:
        hurry()
        return len(receiver.seen)

    for number in range(kills):
        wanted = min(tasks, len(receiver.seen) + max(1, tasks // kills // 2))
        eventually(lambda wanted=wanted: seen() >= wanted, timeout=60)
        if number % 2:
            stack.replace_scheduler(schedulers)
        else:
            stack.replace_worker(workers, "--concurrency", "8")
    eventually(lambda: seen() >= tasks, timeout=120)
    assert receiver.refused == 0
    told = {json.loads(task_id) for _, task_id in receiver.seen}
    assert told == {str(task_id) for task_id in ids}
    assert len({webhook_id for webhook_id, _ in receiver.seen}) == tasks == Delivery.objects.count()
    assert query("SELECT count(*) FROM tasks WHERE notifies AND finished_at IS NOT NULL AND queue <> 'callbacks'") == [
        (0,)
    ]


def hurry() -> None:
    """Retries come after seconds and minutes: nobody waits for them here."""
    query(
        "WITH moved AS (UPDATE tasks SET run_at = now() WHERE queue = 'callbacks' AND run_at > now()"
        " AND worker_id IS NULL AND finished_at IS NULL RETURNING 1) SELECT count(*) FROM moved"
    )


def test_each_end_reaches_its_receiver_whoever_is_killed(stack: Stack, receiver: Receiver) -> None:
    story(stack, receiver, tasks=24, kills=2, of_each=1)


@pytest.mark.chaos_long
def test_each_of_many_ends_reaches_its_receiver_whoever_is_killed(stack: Stack, receiver: Receiver) -> None:
    tasks = int(os.environ.get("CALLBACKS", "2000"))
    story(stack, receiver, tasks=tasks, kills=tasks // 100)
