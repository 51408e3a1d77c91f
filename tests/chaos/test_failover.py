"""A primary that dies and a standby that takes over: what was acknowledged is there, and no result is another start's.

Real processes on a real pair of servers. What may be lost is for PostgreSQL to say: with a synchronous standby nothing,
with an asynchronous one the last commits.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import DatabaseError, close_old_connections, connection
from psycopg.conninfo import conninfo_to_dict

from tasks_app import services, wakeups
from tasks_app.fields import NewTask
from tasks_app.models import Task, TaskExecution
from tasks_app.sessions import Session
from tests.factories import make_key
from tests.support.api import Api
from tests.support.replication import Pair, replicated_pair
from tests.support.stack import EffectLog, Stack, drained, query, running_stack
from tests.support.waiting import eventually
from workers_app import invariants

#: Seconds after a promotion within which all must write again.
BACK_WITHIN = 10.0
#: A lease longer than a failover, so that it costs nobody anything.
PATIENT = {"WORKER_HEARTBEAT_TIMEOUT_MS": "15000"}
#: Whether the worker has asked what to start since the task was assigned.
STARTER_HAS_LOOKED = """
SELECT 1 FROM pg_stat_activity a JOIN tasks t ON t.id = %s
 WHERE a.application_name = 'task_scheduler worker' AND a.query LIKE 'WITH me AS%%'
   AND a.state = 'idle' AND a.query_start > t.assigned_at
"""


@pytest.fixture
def pair(django_db_setup: None, django_db_blocker: Any) -> Iterator[Pair]:
    """The database of this test, in this process too: a replicated one, migrated."""
    with django_db_blocker.unblock(), replicated_pair() as made, _default_database(made.url):
        call_command("migrate", verbosity=0)
        yield made
        wakeups.sender().close()


@contextmanager
def _default_database(url: str) -> Iterator[None]:
    """Let Django's connections of all threads lead to ``url``."""
    options = conninfo_to_dict(url)
    settings, before = connection.settings_dict, dict(connection.settings_dict)
    connection.close()
    names = {"NAME": "dbname", "HOST": "host", "PORT": "port", "USER": "user"}
    settings |= {name: options.pop(key) for name, key in names.items()} | {"OPTIONS": options}
    try:
        yield
    finally:
        connection.close()
        settings |= before


@pytest.fixture
def stack(pair: Pair, tmp_path: Path) -> Iterator[Stack]:
    with running_stack(tmp_path, DATABASE_URL=pair.url, **PATIENT) as started:
        yield started


class Client(threading.Thread):
    """Posts tasks one after the other, each with a key, until stopped; ``acknowledged`` is what was answered 201."""

    def __init__(self, command: str) -> None:
        super().__init__(name="client", daemon=True)
        self.acknowledged: list[tuple[float, UUID]] = []
        self.refused = 0
        self._command = command
        self._api = Api(make_key(name="client"), allow_5xx=True)
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(0.01):
            close_old_connections()  # as a server does before each request; Django's test client leaves it out
            response = self._api.post("/tasks", {"type": "SHELL", "payload": {"command": self._command}})
            if response.status_code == 201:
                self.acknowledged.append((time.monotonic(), UUID(response.json()["id"])))
            else:
                assert response.status_code == 503, response.content
                self.refused += 1
        connection.close()

    def gets_on(self, *, by: int = 1, timeout: float = BACK_WITHIN) -> None:
        """Wait until ``by`` more tasks than now were acknowledged."""
        enough = len(self.acknowledged) + by
        eventually(lambda: len(self.acknowledged) >= enough, timeout=timeout)

    def stop(self) -> None:
        self._stopped.set()
        self.join(30)
        assert not self.is_alive()


def fail_over(pair: Pair) -> None:
    pair.fail_over()
    connection.close()  # it broke with the old primary


@pytest.fixture
def clients(pair: Pair) -> Iterator[Callable[[str], Client]]:
    started: list[Client] = []

    def start(command: str) -> Client:
        started.append(Client(command))
        started[-1].start()
        return started[-1]

    yield start
    for client in started:
        client.stop()


def create(new: NewTask) -> Task:
    return services.create_task(new, created_by="test").task


def recorded() -> dict[tuple[UUID, int], tuple[Any, ...]]:
    """Every recorded end by its fence: who, how, and what came out."""
    rows = TaskExecution.objects.values_list("task_id", "attempt", "worker_id", "status", "result")
    return {(task_id, attempt): tuple(rest) for task_id, attempt, *rest in rows}


def invariants_hold() -> None:
    session = Session("oracle")
    assert invariants.violations(session) == {}
    session.close()


def writes_again(since: float) -> float:
    """Seconds from ``since`` until a task can be created here."""

    def created() -> bool:
        with suppress(DatabaseError):
            create(NewTask(type="DUMMY"))
            return True
        return False

    eventually(created, timeout=BACK_WITHIN)
    return time.monotonic() - since


class TestSynchronousStandby:
    def test_loses_nothing_that_was_acknowledged_and_costs_no_running_task(
        self, pair: Pair, stack: Stack, effects: EffectLog, clients: Callable[[str], Client]
    ) -> None:
        pair.make_synchronous()
        stack.scheduler()
        stack.worker("--concurrency", "8")
        worker = stack.active_workers()
        long = create(NewTask(type="DUMMY", payload={"sleepDurationMs": 6000}, on_worker_lost="fail"))
        client = clients(effects.command())
        eventually(lambda: Task.objects.filter(status="SUCCESS").count() >= 20, timeout=20)
        eventually(lambda: Task.objects.get(pk=long.pk).status == "RUNNING")
        # What a reader of the primary has seen recorded was acknowledged, or is about to be.
        seen = recorded()
        failed_at = time.monotonic()
        fail_over(pair)
        client.gets_on()
        before = [task_id for at, task_id in client.acknowledged if at < failed_at]
        client.stop()
        drained()
        present = set(Task.objects.values_list("pk", flat=True))
        assert [task_id for _, task_id in client.acknowledged if task_id not in present] == []
        assert len(before) >= 20
        after = recorded()
        assert {fence: end for fence, end in seen.items() if after.get(fence) != end} == {}
        assert set(Task.objects.values_list("status", flat=True)) == {"SUCCESS"}
        assert [execution.attempt for execution in TaskExecution.objects.filter(task=long)] == [1]
        assert stack.active_workers() == worker  # nobody had to begin anew
        assert set(effects.counts()) >= {str(task_id) for _, task_id in client.acknowledged}
        invariants_hold()


class TestAsynchronousStandby:
    """The standby lags: what happens between the cut and the failover is lost, whoever was told of it."""

    @pytest.mark.chaos_long
    def test_a_start_that_was_lost_is_dropped_before_its_fence_is_given_out_again(
        self, pair: Pair, stack: Stack, tmp_path: Path
    ) -> None:
        stack.worker("--concurrency", "2")
        # Each body writes its pid and the time every 20 ms: who was alive when is seen outside the system.
        beats = tmp_path / "beats"
        command = (
            f'n=0; while [ $n -lt 150 ]; do echo "$$ $(date +%s%N)" >> {beats}; sleep 0.02; n=$((n+1)); done; echo $$'
        )
        task = create(NewTask(type="SHELL", payload={"command": command}))
        # No beat gets through, so that it is the start which comes first on the new primary.
        with pair.locked("SELECT 1 FROM worker_heartbeats FOR NO KEY UPDATE"):
            eventually(pair.caught_up)
            pair.cut_off_standby()
            stack.scheduler()
            eventually(lambda: beats.exists(), timeout=10)
            assert query("SELECT status, attempt FROM tasks WHERE id = %s", task.pk) == [("RUNNING", 1)]
            fail_over(pair)
            eventually(lambda: query(STARTER_HAS_LOOKED, task.pk), timeout=BACK_WITHIN)
        drained(timeout=30)
        lives: dict[str, list[int]] = defaultdict(list)
        for line in beats.read_text().splitlines():
            pid, at = line.split()
            lives[pid].append(int(at))
        for old, new in itertools.pairwise(lives.values()):
            assert max(old) < min(new), "two bodies were alive at once"
        [_, second] = lives
        [(fence, (_, status, result))] = recorded().items()
        assert (fence, status, result["stdout"].strip()) == ((task.pk, 1), "SUCCESS", second)
        assert "timeline_changed" in stack.log.read_text()
        invariants_hold()

    @pytest.mark.chaos_long
    def test_an_end_that_was_lost_is_not_run_again_under_its_fence(
        self, pair: Pair, stack: Stack, effects: EffectLog, tmp_path: Path
    ) -> None:
        stack.scheduler()
        stack.worker("--concurrency", "4")
        gate = tmp_path / "gate"
        command = effects.command(then=f"while [ ! -e {gate} ]; do sleep 0.02; done")
        tasks = {
            what: create(NewTask(type="SHELL", payload={"command": command}, on_worker_lost=what))
            for what in ("retry", "fail")
        }
        eventually(lambda: len(effects.counts()) == 2, timeout=15)
        eventually(pair.caught_up)
        pair.cut_off_standby()
        gate.touch()
        eventually(lambda: Task.objects.filter(status="SUCCESS").count() == 2, timeout=10)
        fail_over(pair)
        writes_again(time.monotonic())
        drained(timeout=30)
        counts = effects.counts()
        assert {what: counts[str(task.pk)] for what, task in tasks.items()} == {"retry": 2, "fail": 1}
        ends = {fence: end[1] for fence, end in recorded().items() if fence[0] in {t.pk for t in tasks.values()}}
        assert ends == {
            (tasks["retry"].pk, 1): "RELEASED",
            (tasks["retry"].pk, 2): "SUCCESS",
            (tasks["fail"].pk, 1): "RELEASED",
        }
        assert Task.objects.get(pk=tasks["fail"].pk).status == "FAILED"
        invariants_hold()

    @pytest.mark.chaos_long
    def test_a_worker_that_is_unknown_to_the_new_primary_begins_anew(self, pair: Pair, stack: Stack) -> None:
        stack.scheduler()
        eventually(lambda: query("SELECT 1 FROM scheduler_heartbeats"), timeout=15)
        eventually(pair.caught_up)
        pair.cut_off_standby()
        stack.worker()
        [lost] = stack.active_workers()
        fail_over(pair)
        eventually(lambda: stack.active_workers() - {lost}, timeout=BACK_WITHIN)
        task = create(NewTask(type="DUMMY"))
        drained(timeout=15)
        assert Task.objects.get(pk=task.pk).status == "SUCCESS"
        assert lost not in stack.active_workers()


@pytest.mark.chaos_long
class TestAgainAndAgain:
    @pytest.mark.timeout(240)
    @pytest.mark.parametrize("synchronous", [True, False], ids=["synchronous", "asynchronous"])
    def test_the_former_primary_comes_back_as_standby_and_takes_over_in_turn(
        self, pair: Pair, stack: Stack, effects: EffectLog, clients: Callable[[str], Client], synchronous: bool
    ) -> None:
        for _ in range(2):
            stack.scheduler()
            stack.worker("--concurrency", "16")
        client = clients(effects.command())
        back: list[float] = []
        for _ in range(4):
            if synchronous:
                pair.make_synchronous()
            client.gets_on(by=60, timeout=30)
            failed_at = time.monotonic()
            fail_over(pair)
            pair.primary, pair.standby = pair.standby, pair.primary
            client.gets_on()
            back.append(client.acknowledged[-1][0] - failed_at)
            pair.standby.follow(pair.primary, rewind=True)
            assert pair.standby.fetch("SELECT pg_is_in_recovery()") == [(True,)]
        client.stop()
        drained(timeout=90)
        present = set(Task.objects.values_list("pk", flat=True))
        lost = [task_id for _, task_id in client.acknowledged if task_id not in present]
        print(f"acknowledged {len(client.acknowledged)}, lost {len(lost)}, back after {[round(s, 2) for s in back]} s")
        assert not (synchronous and lost)
        assert set(Task.objects.values_list("status", flat=True)) == {"SUCCESS"}
        assert set(effects.counts()) >= {str(task_id) for task_id in present}
        assert max(back) < BACK_WITHIN
        invariants_hold()
