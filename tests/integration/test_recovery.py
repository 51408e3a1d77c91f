"""Recovery as people ask for it: the command and the API, many at once, told to stop, and without a database."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from tests.factories import make_key
from tests.support.api import Api
from tests.support.engine import Engine
from tests.support.stack import Stack, query, running_stack
from tests.support.waiting import eventually

TASKS = 1000
RUNNING = 600
LEASE = timedelta(seconds=3)


@pytest.fixture
def stack(committed_db: None, tmp_path: Path) -> Iterator[Stack]:
    with running_stack(tmp_path, WORKER_HEARTBEAT_TIMEOUT_MS=str(LEASE // timedelta(milliseconds=1))) as started:
        yield started


@pytest.fixture
def engine(session: Any) -> Engine:
    return Engine(session)


def silent_worker(engine: Engine, *, tasks: int, running: int) -> UUID:
    """A worker that owns tasks and has not beaten for an hour; nobody has declared it dead."""
    worker = engine.worker(slots=max(tasks, 1))
    engine.create_many(tasks)
    while engine.assign().assigned:
        pass
    for limit in [500] * (running // 500) + [running % 500]:
        assert len(engine.start(worker, limit=limit)) == limit
    engine.session.execute("UPDATE worker_heartbeats SET last_heartbeat_at = now() - interval '1 hour'")
    return worker


def recover(stack: Stack) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, "manage.py", "recover"]
    return subprocess.Popen(
        command,
        env=stack.environment,
        stdout=pipe,
        stderr=pipe,
        text=True,
        start_new_session=True,
    )


class TestManyAtOnce:
    @pytest.mark.parametrize(
        "silent", [True, pytest.param(False, marks=pytest.mark.chaos_long)], ids=["silent", "marked dead"]
    )
    @pytest.mark.parametrize(
        ("commands", "posts"), [(2, 3), pytest.param(10, 3, marks=pytest.mark.chaos_long)], ids=["few", "many"]
    )
    def test_each_task_is_recovered_once_and_the_reports_add_up(
        self, engine: Engine, stack: Stack, settings: Any, commands: int, posts: int, silent: bool
    ) -> None:
        settings.SCHEDULER = replace(settings.SCHEDULER, heartbeat_timeout=LEASE)
        worker = silent_worker(engine, tasks=TASKS, running=RUNNING)
        if not silent:  # all take tasks at once, instead of the one that was first to mark the death
            engine.kill(worker)
        key = make_key("admin")

        def post(_: int) -> dict[str, Any]:
            response = Api(key).post("/health/recovery")
            connection.close()
            assert response.status_code == 200
            answer: dict[str, Any] = response.json()
            return answer

        started = [recover(stack) for _ in range(commands)]
        with ThreadPoolExecutor(posts) as pool:
            reports = list(pool.map(post, range(posts)))
        for process in started:
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
            reports.append(json.loads(out))
        sums: Counter[str] = Counter()
        for report in reports:
            sums.update(report["tasksRecovered"])
        assert sums == {"retried": RUNNING, "handedBack": TASKS - RUNNING, "failed": 0, "cancelled": 0}
        assert [w for report in reports for w in report["workersMarkedDead"]] == [str(worker)] * silent
        assert all(report["invariants"] == {"ok": True, "violations": {}} for report in reports)
        assert query("SELECT status, crash_count, count(*) FROM tasks GROUP BY 1, 2 ORDER BY 2") == [
            ("PENDING", 0, TASKS - RUNNING),
            ("PENDING", 1, RUNNING),
        ]
        assert query("SELECT count(*), count(DISTINCT task_id) FROM task_executions") == [(RUNNING, RUNNING)]


class TestRecover:
    def test_ends_with_0_when_it_is_told_to_stop_while_it_watches(self, engine: Engine, tmp_path: Path) -> None:
        worker = silent_worker(engine, tasks=1, running=1)
        watching = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'task_scheduler recovery'"
        with running_stack(tmp_path, WORKER_HEARTBEAT_TIMEOUT_MS="3600000") as patient:
            process = recover(patient)
            try:
                eventually(lambda: query(f"{watching} AND query LIKE '%%last_heartbeat_at%%'"), timeout=20)
                process.terminate()
                out, err = process.communicate(timeout=10)
            finally:
                process.kill()
        assert process.returncode == 0, err
        assert json.loads(out)["workersMarkedDead"] == []
        assert engine.worker_state(worker) == "ACTIVE"

    @pytest.mark.parametrize(
        "command", [("recover",), pytest.param(("runscheduler", "--once"), marks=pytest.mark.chaos_long)], ids=" ".join
    )
    def test_without_a_database_says_so(self, stack: Stack, command: tuple[str, ...]) -> None:
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            env=stack.environment | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("CommandError: the database cannot be reached: ")
        assert "Traceback" not in done.stderr
