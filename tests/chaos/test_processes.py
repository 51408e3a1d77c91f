"""The main job with real processes: what a user is promised, and what happens when processes are killed."""

from __future__ import annotations

import itertools
import os
import signal
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_httpserver import HTTPServer
from werkzeug import Response

from tasks_app import services
from tasks_app.fields import NewTask
from tasks_app.models import Task, TaskExecution
from tasks_app.sessions import Session
from tests.support.stack import EffectLog, Stack, drained, gone, processes_with, query
from tests.support.waiting import eventually
from workers_app import invariants


def create(new: NewTask) -> Task:
    return services.create_task(new, created_by="test").task


def status_of(task: Task) -> str:
    return Task.objects.values_list("status", flat=True).get(pk=task.pk)


def attempts_of(task: Task) -> list[tuple[int, str]]:
    return list(TaskExecution.objects.filter(task=task).order_by("attempt").values_list("attempt", "status"))


@pytest.fixture(autouse=True)
def _invariants_hold(stack: Stack) -> object:
    yield
    session = Session("oracle")
    assert invariants.violations(session) == {}
    session.close()


class TestTheMainJob:
    def test_a_task_that_fails_twice_succeeds_on_its_third_attempt(self, stack: Stack, httpserver: HTTPServer) -> None:
        answers = iter([503, 503, 200])
        httpserver.expect_request("/flaky").respond_with_handler(lambda _: Response("ok", status=next(answers)))
        stack.scheduler()
        stack.worker()
        task = create(NewTask(type="HTTP", payload={"url": httpserver.url_for("/flaky")}, max_retries=3))
        drained()
        assert status_of(task) == "SUCCESS"
        assert attempts_of(task) == [(1, "FAILED"), (2, "FAILED"), (3, "SUCCESS")]

    def test_a_cancelled_shell_task_leaves_no_child(self, stack: Stack) -> None:
        marker = f"7{uuid.uuid4().int % 10**9:09d}"
        stack.scheduler()
        stack.worker()
        command = f"sleep {marker} & setsid sleep {marker} & wait"
        task = create(NewTask(type="SHELL", payload={"command": command}))
        eventually(lambda: len(processes_with(f"sleep {marker}")) >= 2, timeout=10)
        services.cancel_task(task.pk, actor="test")
        eventually(lambda: status_of(task) == "CANCELLED", timeout=2)
        gone(f"sleep {marker}")

    @pytest.mark.chaos_long
    def test_a_scheduled_task_starts_within_100_ms_of_its_time(self, stack: Stack) -> None:
        stack.scheduler()
        stack.worker()
        due = timezone.now() + timedelta(seconds=2)
        tasks = [create(NewTask(type="DUMMY", schedule_at=due + timedelta(milliseconds=150 * n))) for n in range(5)]
        drained()
        rows = query(
            "SELECT extract(epoch FROM started_at - run_at)::float8 FROM tasks WHERE id = ANY(%s)",
            [t.pk for t in tasks],
        )
        lateness = sorted(row[0] for row in rows)
        assert lateness[0] >= 0
        assert lateness[len(lateness) // 2] < 0.1

    def test_many_processes_execute_each_task_exactly_once(self, stack: Stack, effects: EffectLog) -> None:
        stack.scheduler()
        stack.scheduler()
        for _ in range(3):
            stack.worker("--concurrency", "100", LOG_LEVEL="WARNING")
        services.create_tasks([NewTask(type="DUMMY") for _ in range(4900)], created_by="test")
        services.create_tasks(
            [NewTask(type="SHELL", payload={"command": effects.command()}) for _ in range(100)], created_by="test"
        )
        drained()
        assert query("SELECT count(*), count(DISTINCT task_id) FROM task_executions WHERE status = 'SUCCESS'") == [
            (5000, 5000)
        ]
        assert query("SELECT count(*) FROM tasks WHERE attempt <> 1 OR status <> 'SUCCESS'") == [(0,)]
        assert set(effects.counts().values()) == {1}
        assert len(effects.counts()) == 100

    @pytest.mark.chaos_long
    def test_a_concurrency_key_runs_one_at_a_time_in_order(self, stack: Stack, tmp_path: object) -> None:
        stack.scheduler()
        stack.scheduler()
        stack.worker()
        stack.worker()
        services.create_tasks(
            [NewTask(type="DUMMY", payload={"sleepDurationMs": 20}, concurrency_key="account-1") for _ in range(30)],
            created_by="test",
        )
        drained()
        rows = query("SELECT started_at, finished_at FROM task_executions ORDER BY task_id")
        assert all(later[0] >= earlier[1] for earlier, later in itertools.pairwise(rows))


class TestDeath:
    def test_tasks_of_a_killed_worker_run_again_on_another(self, stack: Stack, effects: EffectLog) -> None:
        stack.scheduler()
        first = stack.worker("--concurrency", "8")
        payload = {"command": effects.command("[ $TASK_ATTEMPT -gt 1 ] || sleep 60")}
        tasks = [create(NewTask(type="SHELL", payload=payload)) for _ in range(8)]
        eventually(lambda: len(effects.counts()) == 8, timeout=10)
        stack.worker("--concurrency", "8")
        os.kill(stack.worker_pid(first), signal.SIGKILL)
        drained()
        for task in tasks:
            assert status_of(task) == "SUCCESS"
            assert attempts_of(task) == [(1, "LOST"), (2, "SUCCESS")]
        assert set(effects.counts().values()) == {2}

    def test_tasks_move_on_when_guardian_and_worker_die_together(self, stack: Stack) -> None:
        marker = f"8{uuid.uuid4().int % 10**9:09d}"
        stack.scheduler()
        first = stack.worker("--concurrency", "2")
        task = create(
            NewTask(type="SHELL", payload={"command": f"setsid sleep {marker} & sleep {marker}"}, max_retries=0)
        )
        eventually(lambda: len(processes_with(f"sleep {marker}")) >= 2, timeout=10)
        worker = stack.worker_pid(first)
        os.kill(first.pid, signal.SIGKILL)
        os.kill(worker, signal.SIGKILL)
        gone(f"sleep {marker}")
        eventually(lambda: attempts_of(task) == [(1, "LOST")], timeout=10)
        assert Task.objects.get(pk=task.pk).crash_count == 1
        assert Task.objects.get(pk=task.pk).retry_count == 0

    @pytest.mark.chaos_long
    def test_a_frozen_worker_is_killed_before_its_lease_ends(self, stack: Stack) -> None:
        marker = f"9{uuid.uuid4().int % 10**9:09d}"
        stack.scheduler()
        first = stack.worker("--concurrency", "2")
        task = create(NewTask(type="SHELL", payload={"command": f"sleep {marker}"}))
        eventually(lambda: processes_with(f"sleep {marker}"), timeout=10)
        os.kill(stack.worker_pid(first), signal.SIGSTOP)
        gone(f"sleep {marker}")
        eventually(lambda: attempts_of(task)[:1] == [(1, "LOST")], timeout=10)

    @pytest.mark.chaos_long
    def test_a_killed_scheduler_is_not_missed(self, stack: Stack) -> None:
        first = stack.scheduler()
        stack.scheduler()
        stack.worker()
        services.create_tasks(
            [NewTask(type="DUMMY", payload={"sleepDurationMs": 5}) for _ in range(300)], created_by="test"
        )
        eventually(lambda: TaskExecution.objects.exists(), timeout=10)
        first.kill()
        drained()
        assert query("SELECT count(*) FROM tasks WHERE attempt <> 1") == [(0,)]

    @pytest.mark.chaos_long
    def test_a_task_that_kills_its_worker_is_quarantined(self, stack: Stack) -> None:
        name = uuid.uuid4().hex
        stack.scheduler()
        stack.worker("--name", name, "--concurrency", "4")
        command = f"pkill -9 -f 'task-scheduler worker {name[:16]}[{name[16]}]'; sleep 30"
        poison = create(NewTask(type="SHELL", payload={"command": command}))
        drained()
        assert (status_of(poison), Task.objects.get(pk=poison.pk).end_reason) == ("FAILED", "QUARANTINED")
        assert attempts_of(poison) == [(1, "LOST"), (2, "LOST"), (3, "LOST")]


class TestStopping:
    def test_sigterm_lets_running_tasks_end_and_gives_back_the_rest(self, stack: Stack) -> None:
        stack.scheduler()
        worker = stack.worker("--concurrency", "2", "--grace", "10")
        short = create(NewTask(type="DUMMY", payload={"sleepDurationMs": 1000}))
        eventually(lambda: status_of(short) == "RUNNING", timeout=10)
        assert stack.stop(worker, timeout=10) == 0
        assert status_of(short) == "SUCCESS"
        assert query("SELECT state FROM worker_heartbeats") == [("STOPPED",)]

    def test_what_does_not_end_within_the_grace_is_released_without_a_retry(self, stack: Stack) -> None:
        stack.scheduler()
        worker = stack.worker("--concurrency", "2", "--grace", "1")
        long = create(NewTask(type="DUMMY", payload={"sleepDurationMs": 60_000}))
        eventually(lambda: status_of(long) == "RUNNING", timeout=10)
        assert stack.stop(worker, timeout=10) == 0
        task = Task.objects.get(pk=long.pk)
        assert (task.status, task.retry_count, task.crash_count, task.attempt) == ("PENDING", 0, 0, 1)
        assert attempts_of(long) == [(1, "RELEASED")]

    @pytest.mark.chaos_long
    def test_a_second_sigterm_ends_at_once(self, stack: Stack) -> None:
        stack.scheduler()
        worker = stack.worker("--concurrency", "2", "--grace", "60")
        long = create(NewTask(type="DUMMY", payload={"sleepDurationMs": 60_000}))
        eventually(lambda: status_of(long) == "RUNNING", timeout=10)
        worker.send_signal(signal.SIGTERM)
        eventually(lambda: query("SELECT 1 FROM worker_heartbeats WHERE state = 'DRAINING'"), timeout=10)
        assert stack.stop(worker, timeout=10) == 0
        assert attempts_of(long) == [(1, "RELEASED")]
        assert query("SELECT state FROM worker_heartbeats") == [("STOPPED",)]

    @pytest.mark.chaos_long
    def test_a_drained_worker_exits_with_0(self, stack: Stack) -> None:
        from workers_app.heartbeats import request_drain

        stack.scheduler()
        worker = stack.worker()
        [worker_id] = stack.active_workers()
        request_drain(worker_id, actor="test")
        assert worker.wait(15) == 0

    @pytest.mark.chaos_long
    def test_burst_exits_when_nothing_is_left(self, stack: Stack) -> None:
        stack.scheduler()
        services.create_tasks([NewTask(type="DUMMY") for _ in range(50)], created_by="test")
        worker = stack.worker("--burst")
        assert worker.wait(20) == 0
        assert query("SELECT count(*) FROM tasks WHERE status <> 'SUCCESS'") == [(0,)]

    def test_once_assigns_what_is_due_and_exits(self, stack: Stack) -> None:
        stack.worker()
        task = create(NewTask(type="DUMMY"))
        assert stack.scheduler("--once").wait(20) == 0
        eventually(lambda: status_of(task) == "SUCCESS", timeout=5)


class TestConnections:
    #: The sender of wake-ups is this process's own.
    _OURS = (
        "FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'task_scheduler %%'"
        " AND application_name <> 'task_scheduler wake-ups'"
    )

    def count(self) -> int:
        [(number,)] = query(f"SELECT count(*) {self._OURS}")
        return int(number)

    @pytest.mark.chaos_long
    def test_are_three_of_a_scheduler_and_four_of_a_worker_at_most_and_none_stands_still_in_a_transaction(
        self, stack: Stack
    ) -> None:
        standing = f"SELECT count(*) {self._OURS} AND state LIKE 'idle in%%' AND now() - state_change > interval '1 s'"
        most_alone = most = stood = 0
        stack.scheduler()
        services.create_tasks([NewTask(type="DUMMY")] * 300, created_by="test")
        eventually(lambda: query("SELECT 1 FROM scheduler_heartbeats WHERE stopped_at IS NULL") != [], timeout=10)
        for _ in range(20):
            most_alone = max(most_alone, self.count())
        stack.worker("--concurrency", "16")
        while Task.objects.filter(finished_at=None).exists():
            most = max(most, self.count())
            stood += query(standing)[0][0]
        assert 1 <= most_alone <= 3
        assert most_alone < most <= 3 + 4
        assert stood == 0
