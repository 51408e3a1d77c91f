"""A hundred thousand numbered lines, followed while connections break, web processes die and the database crashes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tasks_app.fields import NewTask
from tasks_app.services import create_task
from tasks_app.task_output import Ask, Page, read_output
from tests.support.cluster import ScratchCluster, scratch_cluster
from tests.support.processes import ROOT, Program
from tests.support.stack import FAST, Stack
from tests.support.waiting import eventually

LINES = 100_000
COMMAND = """i=0; while [ $i -lt {lines} ]; do
  end=$((i + 500)); while [ $i -lt $end ]; do echo "line $i"; i=$((i + 1)); done; sleep 0.09; done"""


class Installed:
    """Everything on a database of its own, which can be taken away."""

    def __init__(self, cluster: ScratchCluster, log: Path, stack: ExitStack) -> None:
        self.cluster, self.log, self._stack = cluster, log, stack
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DB_", "PROMETHEUS"))}
        ours = {"DATABASE_URL": cluster.url, "SCHEDULER_PROFILE": "test", "PORT": "0", "WEB_WORKERS": "1"}
        self.environment = kept | FAST | ours | {"WORKER_HEARTBEAT_TIMEOUT_MS": "15000", "LOG_LEVEL": "INFO"}
        self._manage("migrate", "-v0")
        self.key = self._manage("createapikey", "reader", "--scopes", "tasks:read,tasks:write,tasks:shell")
        self.start("runscheduler")
        self.start("runworker", OUTPUT_STORED_BYTES=str(4 * 1024 * 1024))
        self.web, self.port = self.start_web()

    def _manage(self, *command: str) -> str:
        ran = subprocess.run(
            [sys.executable, "manage.py", *command], cwd=ROOT, env=self.environment, check=True, stdout=subprocess.PIPE
        )
        return ran.stdout.decode().strip()

    def start(self, *command: str, **environment: str) -> Program:
        program = Program(["manage.py", *command], self.environment | environment, self.log)
        self._stack.callback(program.stop)
        return program

    def start_web(self) -> tuple[Program, int]:
        known = set(self._ports())
        program = self.start("runweb")
        [port] = eventually(lambda: set(self._ports()) - known, timeout=60)
        return program, int(port)

    def _ports(self) -> list[str]:
        return re.findall(r"Listening at: http://\S+?:(\d+)", self.log.read_text(errors="replace"))

    def restart_web(self) -> None:
        self.web.send(signal.SIGKILL)
        self.web, self.port = self.start_web()

    def crash_database(self) -> None:
        pid = self.cluster.server.postmaster.pid
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)
        eventually(lambda: self.cluster.server.postmaster.pid is None, timeout=10)
        self.cluster.server.start(announce=False)

    def ask(self, path: str, data: Any = None, **headers: str) -> Any:
        body = None if data is None else json.dumps(data).encode()
        sent = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"} | headers
        url = f"http://127.0.0.1:{self.port}{path}"
        return urllib.request.urlopen(urllib.request.Request(url, data=body, headers=sent), timeout=30)


def events(answer: Any) -> Iterator[tuple[str, str, Any]]:
    fields: dict[str, str] = {}
    for raw in answer:
        line = raw.decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield fields["id"], fields["event"], json.loads(fields["data"])
            fields = {}


class Reader:
    """Follows a task as `EventSource` does, over connections that end; notes what it has read."""

    def __init__(self, installed: Installed, task_id: str) -> None:
        self._installed, self._path = installed, f"/tasks/{task_id}/output"
        self.last, self.text, self.left_out, self.is_over = "", [], 0, False

    def read(self, parts: int) -> None:
        """So many events of one connection, or as many as it lives for."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": self.last} if self.last else {})
        try:
            with self._installed.ask(self._path, **headers) as answer:
                for at, kind, data in events(answer):
                    self.last, self.is_over = at, kind == "ended"
                    self.text.append(data.get("text", ""))
                    self.left_out += data.get("bytes", 0)
                    parts -= 1
                    if parts <= 0 or self.is_over:
                        return
        except OSError:
            time.sleep(0.1)


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Installed]:
    log = tmp_path / "log"
    log.touch()
    with ExitStack() as stack:
        cluster = stack.enter_context(scratch_cluster())
        yield Installed(cluster, log, stack)


@pytest.mark.chaos_long
@pytest.mark.timeout(240)
def test_no_line_is_lost_or_read_twice_whatever_breaks_in_between(installed: Installed) -> None:
    payload = {"command": COMMAND.format(lines=LINES)}
    with installed.ask("/tasks", {"type": "SHELL", "payload": payload, "maxRetries": 0}) as made:
        task_id = json.load(made)["id"]
    reader = Reader(installed, task_id)
    for fault in (None, installed.restart_web, installed.crash_database, None, installed.restart_web):
        reader.read(30)
        if fault is not None:
            fault()
    end = time.monotonic() + 120
    while not reader.is_over and time.monotonic() < end:
        reader.read(25)
    read = "".join(reader.text).split("\n")
    whole = sum(len(f"line {number}\n") for number in range(LINES))
    assert reader.is_over
    assert sum(map(len, reader.text)) + reader.left_out == whole
    numbers = [int(line.split()[1]) for line in read if line]
    assert (numbers, reader.left_out) == (list(range(LINES)), 0)
    with installed.ask(f"/tasks/{task_id}") as found:
        task = json.load(found)
    assert (task["status"], task["attempt"]) == ("SUCCESS", 1)


@pytest.mark.chaos_long
def test_a_killed_worker_leaves_what_it_had_stored(stack: Stack) -> None:
    command = "i=0; while :; do echo line $i of $TASK_ATTEMPT; i=$((i + 1)); sleep 0.05; done"
    new = NewTask(type="SHELL", payload={"command": command}, timeout_ms=60_000)
    task_id = create_task(new, created_by="test").task.pk
    stack.scheduler()
    guardian = stack.worker("--concurrency", "2")

    def page(attempt: int) -> Page:
        return read_output([Ask(task_id, attempt=attempt)])[0]

    eventually(lambda: len(page(1).parts) > 2, timeout=20)
    before = page(1)
    os.kill(stack.worker_pid(guardian), signal.SIGKILL)
    eventually(lambda: page(2).parts, timeout=30)
    after = page(1)
    assert after.parts[: len(before.parts)] == before.parts
    assert after.ended
    assert {line.split()[-1] for part in after.parts for line in part.text.splitlines()} == {"1"}
