"""A worker's host is cut off: its tasks are dead before they run elsewhere, and it comes back as another worker."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import UUID

import pytest
from django.db import connection

from tasks_app import services
from tasks_app.fields import NewTask
from tasks_app.models import Task, TaskExecution
from tasks_app.sessions import Session
from tests.support.hosts import Host, can_make_hosts, hosts
from tests.support.stack import Stack, drained, query, running_stack
from tests.support.waiting import eventually
from workers_app import invariants

pytestmark = [
    pytest.mark.chaos_long,
    pytest.mark.skipif(not can_make_hosts(), reason="needs root, and network namespaces"),
]
LEASE = {"WORKER_HEARTBEAT_TIMEOUT_MS": "4000"}


@pytest.fixture
def stack(committed_db: None, tmp_path: Path) -> Iterator[Stack]:
    with running_stack(tmp_path, **LEASE) as started:
        yield started


@pytest.fixture
def two_hosts() -> Iterator[list[Host]]:
    folder = unquote(urlsplit(os.environ["DATABASE_URL"]).netloc.rpartition("@")[2].rpartition(":")[0])
    with hosts(2, Path(folder) / ".s.PGSQL.5432") as made:
        yield made


def worker_on(stack: Stack, host: Host) -> UUID:
    """Start a worker on a host; return its id."""
    before = stack.active_workers()
    url = f"postgresql://postgres@{host.address}/{connection.settings_dict['NAME']}"
    stack.start_by(host.prefix, "runworker", "--name", host.name, "--concurrency", "8", DATABASE_URL=url)
    [worker] = eventually(lambda: stack.active_workers() - before, timeout=20)
    return worker


class TestPartition:
    def test_ends_the_work_before_it_runs_elsewhere_and_the_worker_comes_back_as_another(
        self, stack: Stack, two_hosts: list[Host], tmp_path: Path
    ) -> None:
        stack.scheduler()
        cut, kept = two_hosts
        lost = worker_on(stack, cut)
        # Each body writes every 20 ms that it is alive: into a file both hosts see, and the partition does not cut.
        beats = tmp_path / "beats"
        line = 'echo "$TASK_ID $TASK_ATTEMPT $(date +%s%N)"'
        command = (
            f"n=0; while [ $TASK_ATTEMPT -eq 1 ] || [ $n -lt 50 ]; do {line} >> {beats}; sleep 0.02; n=$((n+1)); done"
        )
        tasks = services.create_tasks(
            [NewTask(type="SHELL", payload={"command": command}) for _ in range(8)], created_by="test"
        )
        eventually(lambda: Task.objects.filter(status="RUNNING", worker_id=lost).count() == 8, timeout=10)
        eventually(lambda: beats.exists() and len({entry[0] for entry in read(beats)}) == 8, timeout=10)
        other = worker_on(stack, kept)
        cut.cut_off()
        drained(timeout=40)
        lives: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for task_id, attempt, at in read(beats):
            lives[task_id][attempt].append(at)
        assert {str(task_id) for task_id in tasks} == lives.keys()
        gaps = [(min(life[2]) - max(life[1])) / 1e9 for life in lives.values()]
        print(f"from the last sign of the old body to the first of the new: {min(gaps):.2f} to {max(gaps):.2f} s")
        assert min(gaps) > 0, "a task ran on both hosts at once"
        ends = TaskExecution.objects.order_by("attempt").values_list("attempt", "status", "worker_id")
        assert set(ends) == {(1, "LOST", lost), (2, "SUCCESS", other)}
        cut.reconnect()
        [back] = eventually(lambda: stack.active_workers() - {other}, timeout=30)
        assert back != lost
        named = dict(query("SELECT worker_id, name FROM worker_heartbeats"))
        assert (named[back], named[lost]) == (cut.name, cut.name)
        assert query("SELECT state FROM worker_heartbeats WHERE worker_id = %s", lost) == [("DEAD",)]
        [task] = services.create_tasks([NewTask(type="DUMMY")], created_by="test")
        drained(timeout=10)
        assert Task.objects.get(pk=task).status == "SUCCESS"
        session = Session("oracle")
        assert invariants.violations(session) == {}
        session.close()


def read(beats: Path) -> list[tuple[str, int, int]]:
    """Task, attempt and time of each sign of life."""
    lines = [line.split() for line in beats.read_text().splitlines()]
    return [(line[0], int(line[1]), int(line[2])) for line in lines if len(line) == 3]
