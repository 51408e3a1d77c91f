"""A rolling upgrade: the schema is the next release's, expanded as it may be, while our processes go on with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tasks_app import services
from tasks_app.fields import NewTask
from tasks_app.models import Task
from tasks_app.sessions import Session
from tests.factories import make_key
from tests.support.api import Api
from tests.support.committed import OURS
from tests.support.stack import Stack, drained, query
from tests.support.waiting import eventually
from workers_app import invariants


@pytest.fixture
def expand(committed_db: None) -> Iterator[object]:
    """Does to every table what the next release's migrations may do, one statement at a time, as they would."""
    session = Session("migrate")
    made: list[str] = []

    def expand_one() -> Iterator[str]:
        for table in OURS:
            session.execute("SET lock_timeout = '5s'")
            made.append(table)
            session.execute(f"ALTER TABLE {table} ADD COLUMN next_note text")
            session.execute(f"ALTER TABLE {table} ADD COLUMN next_kind text NOT NULL DEFAULT 'usual'")
            session.execute(f"CREATE INDEX {table}_next_kind ON {table} (next_kind)")
            yield table

    yield expand_one
    for table in made:
        session.execute(f"ALTER TABLE {table} DROP COLUMN IF EXISTS next_note, DROP COLUMN IF EXISTS next_kind")
    session.close()


class TestRollingUpgrade:
    @pytest.mark.chaos_long
    def test_costs_no_attempt_and_no_error(self, stack: Stack, expand: object) -> None:
        """Web, scheduler and worker were there before the migration; a second worker comes after it, the first goes."""
        api = Api(make_key(name="client"))
        body = {"type": "DUMMY", "payload": {"sleepDurationMs": 20}, "maxRetries": 0}
        stack.scheduler()
        old = stack.worker("--concurrency", "8")
        created: list[str] = []

        def work(count: int) -> None:
            created.extend(
                api.post("/tasks", body, Idempotency_Key=f"k{len(created)}").json()["id"] for _ in range(count)
            )

        work(20)  # statements are prepared, plans are cached
        eventually(lambda: Task.objects.filter(status="SUCCESS").count() >= 10, timeout=15)
        for _ in expand():  # type: ignore[operator]
            work(10)
        new = stack.worker("--concurrency", "8")
        work(20)
        assert stack.stop(old) == 0
        work(20)
        api.patch(f"/tasks/{created[-1]}", {"priority": 1})
        api.get(f"/tasks/{created[-1]}/why")
        assert api.get("/tasks?cursor=").status_code == 200
        drained(timeout=30)
        assert query("SELECT status, attempt, next_kind, count(*) FROM tasks GROUP BY 1, 2, 3") == [
            ("SUCCESS", 1, "usual", len(created))
        ]
        assert stack.stop(new) == 0
        log = stack.log.read_text()
        assert [line for line in log.splitlines() if "error" in line.split("]")[0] or "Traceback" in line] == []
        session = Session("oracle")
        assert invariants.violations(session) == {}
        session.close()

    def test_leaves_recovery_and_every_ending_working(self, stack: Stack, expand: object) -> None:
        for _ in expand():  # type: ignore[operator]
            pass
        stack.scheduler()
        worker = stack.worker()
        kinds = [
            NewTask(type="DUMMY"),
            NewTask(type="DUMMY", payload={"shouldFail": True}, max_retries=1, retry={"baseDelayMs": 10}),
            NewTask(type="DUMMY", payload={"sleepDurationMs": 60_000}, timeout_ms=200, max_retries=0),
            NewTask(type="DUMMY", concurrency_key="k"),
            NewTask(type="DUMMY", concurrency_key="k"),
        ]
        ids = services.create_tasks(kinds, created_by="test")
        drained(timeout=40)
        ended = dict(Task.objects.values_list("pk", "status"))
        assert [ended[each] for each in ids] == ["SUCCESS", "FAILED", "FAILED", "SUCCESS", "SUCCESS"]
        lost = services.create_task(NewTask(type="DUMMY", payload={"sleepDurationMs": 60_000}), created_by="test").task
        eventually(lambda: Task.objects.get(pk=lost.pk).status == "RUNNING", timeout=10)
        os.kill(stack.worker_pid(worker), signal.SIGKILL)
        eventually(lambda: Task.objects.get(pk=lost.pk).attempt == 2, timeout=15)
        services.cancel_task(lost.pk, actor="test")
        drained(timeout=15)
        assert Task.objects.get(pk=lost.pk).status == "CANCELLED"
