"""That the oracle sees: each promise is broken once, by force, and its query must count it."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from tests.support.engine import SUCCEEDED, Engine
from workers_app import invariants

CHECKS = ("tasks_state", "tasks_ranges", "tasks_key_slot")

#: One statement for each promise, about an {ended}, a {running}, an {assigned} and a {waiting} task and their {worker}.
BROKEN_BY = {
    "a pending task has no worker": "UPDATE tasks SET worker_id = '{worker}' WHERE id = '{waiting}'",
    "an assigned or running task has a worker": "UPDATE tasks SET worker_id = NULL WHERE id = '{assigned}'",
    "a slot of a concurrency key is held once": (
        "INSERT INTO queues (name, key_max_concurrency) VALUES ('q', 2);"
        "UPDATE tasks SET concurrency_key = 'k', queue = 'q', key_slot = 1 WHERE id IN ('{running}', '{assigned}')"
    ),
    "nothing that a freeze covers is given to a worker, or has started since": (
        "INSERT INTO freezes (id, types, created_by, created_at)"
        " VALUES (gen_random_uuid(), '{{DUMMY}}', 'x', now() - interval '1 day');"
        "DELETE FROM tasks WHERE id = '{assigned}'"
    ),
    "a queue is frozen as its freezes say": "INSERT INTO queues (name, frozen) VALUES ('q', true)",
    "a unique key is open once": "UPDATE tasks SET unique_key = 'u' WHERE id IN ('{running}', '{waiting}')",
    "a queue has no more assigned than its limit": (
        "INSERT INTO queues (name, max_concurrency) VALUES ('default', 0);"
        "UPDATE tasks SET limited = true WHERE id IN ('{running}', '{assigned}')"
    ),
    "what a limited queue has assigned or running counts": (
        "INSERT INTO queues (name, max_concurrency) VALUES ('default', 9);"
        "UPDATE tasks SET limited = true WHERE id = '{assigned}'"
    ),
    "a rate has its bucket": (
        "INSERT INTO queues (name, rate_limit, rate_period, rate_burst) VALUES ('other', 1, 1, 0)"
    ),
    "what is assigned of a queue with a rate has a token": (
        "INSERT INTO queues (name, rate_limit, rate_period, rate_burst) VALUES ('default', 1, 1, 0);"
        "INSERT INTO buckets (kind, name, full_at) VALUES ('queue', 'default', now())"
    ),
    "what is assigned and calls a target with a rate has a token": (
        "INSERT INTO targets (host, rate_limit, rate_period, rate_burst) VALUES ('h', 1, 1, 0);"
        "INSERT INTO buckets (kind, name, full_at) VALUES ('target', 'h', now());"
        "UPDATE tasks SET target = 'h' WHERE id = '{assigned}'"
    ),
    "what is assigned and has a concurrency key with a rate has a token": (
        "INSERT INTO queues (name, key_rate_limit, key_rate_period, key_rate_burst) VALUES ('default', 1, 1, 0);"
        "UPDATE tasks SET concurrency_key = 'k', key_slot = 0 WHERE id = '{assigned}'"
    ),
    "a task that waits for a token of its key will be looked at": (
        "INSERT INTO key_buckets (queue, key, full_at) VALUES ('default', 'k', now());"
        "UPDATE tasks SET concurrency_key = 'k', gate = 4 WHERE id = '{waiting}'"
    ),
    "a target has no more assigned than its limit": (
        "INSERT INTO targets (host, max_concurrency) VALUES ('h', 0);"
        "UPDATE tasks SET limited = true, target = 'h' WHERE id = '{assigned}'"
    ),
    "what a limited target has assigned or running counts": (
        "INSERT INTO targets (host, max_concurrency) VALUES ('h', 9);"
        "UPDATE tasks SET target = 'h' WHERE id = '{running}'"
    ),
    "a worker runs no more than its slots": "UPDATE tasks SET status = 'RUNNING' WHERE id = '{assigned}'",
    "a worker owns nothing that needs what it does not have": (
        "INSERT INTO task_needs (id, digest, labels, condition) VALUES (9, 'd', '{{}}', '$.gpu == \"a100\"');"
        "UPDATE tasks SET needs_id = 9 WHERE id = '{assigned}'"
    ),
    "what a task needs is known": "UPDATE tasks SET needs_id = 9 WHERE id = '{waiting}'",
    "a task that takes several slots needs a worker that has them": "UPDATE tasks SET slots = 2 WHERE id = '{waiting}'",
    "what is given to a worker was approved, if it has to be": (
        "UPDATE tasks SET approval = '{{\"of\": \"scope:admin\"}}' WHERE id = '{assigned}'"
    ),
    "a running attempt has no history row yet": (
        "UPDATE task_executions SET task_id = '{running}', attempt = 1 WHERE task_id = '{ended}';"
        "UPDATE tasks SET attempt = 0 WHERE id = '{ended}'"
    ),
    "every ended attempt has one history row": "DELETE FROM task_executions WHERE task_id = '{ended}'",
    "history belongs to a task": "UPDATE task_executions SET task_id = gen_random_uuid() WHERE task_id = '{ended}'",
    "a cancelled task does not run again": "UPDATE tasks SET cancel_requested_at = now() WHERE id = '{waiting}'",
    "a slot of a schedule has one task": (
        "UPDATE tasks SET schedule_id = '{worker}', scheduled_for = now() WHERE id IN ('{ended}', '{waiting}')"
    ),
    "a parked task waits for a held key": (
        "UPDATE tasks SET concurrency_key = 'free', gate = 1 WHERE id = '{waiting}'"
    ),
    "a concurrency key has no more assigned than its limit": (
        "UPDATE tasks SET concurrency_key = 'k', key_slot = 1 WHERE id = '{assigned}'"
    ),
    "what another task waits for is there, and is marked": (
        "INSERT INTO task_edges (child_id, parent_id) VALUES ('{waiting}', '{running}')"
    ),
    "a batch that is done has nothing open": (
        "INSERT INTO batches (id, created_at, name, status, created_by, finished_at)"
        " VALUES ('{worker}', now(), 'b', 'SUCCESS', 'test', now());"
        "UPDATE tasks SET batch_id = '{worker}' WHERE id = '{waiting}'"
    ),
    "a batch that runs will be looked at": (
        "INSERT INTO batches (id, created_at, name, status, created_by)"
        " VALUES ('{worker}', now(), 'b', 'RUNNING', 'test');"
        "UPDATE tasks SET batch_id = '{worker}' WHERE id IN ('{ended}', '{waiting}')"
    ),
    "a batch that has failed fast stops, or will be looked at": (
        "INSERT INTO batches (id, created_at, name, status, created_by, fail_fast)"
        " VALUES ('{worker}', now(), 'b', 'OPEN', 'test', 1);"
        "UPDATE tasks SET batch_id = '{worker}', status = 'FAILED', unsuccessful = true WHERE id = '{ended}'"
    ),
    "the batch of an open task is there": "UPDATE tasks SET batch_id = '{worker}' WHERE id = '{running}'",
    "an end that is to be told is marked": "UPDATE tasks SET notifies = true WHERE id = '{running}'",
    "a closed gate has a cause": "UPDATE tasks SET gate = 4 WHERE id = '{waiting}'",
}


class TestViolations:
    @pytest.fixture
    def names(self, engine: Engine) -> dict[str, object]:
        worker = engine.worker(slots=1, prefetch=1)
        first = engine.running(worker)
        engine.finish(worker, first, SUCCEEDED)
        running, assigned, waiting = engine.create_many(3)
        for task_id, age in ((running, 3), (assigned, 2)):
            engine.move(task_id, run_at=-timedelta(minutes=age))
        engine.assign()
        engine.start(worker, limit=1)
        assert engine.statuses([running, assigned, waiting]) == ["RUNNING", "SCHEDULED", "PENDING"]
        return {"worker": worker, "ended": first.task_id, "running": running, "assigned": assigned, "waiting": waiting}

    def test_cover_every_promise_here(self) -> None:
        assert set(BROKEN_BY) == set(invariants.QUERIES)

    @pytest.mark.parametrize("promise", BROKEN_BY)
    def test_count_what_breaks(self, engine: Engine, names: dict[str, object], promise: str) -> None:
        session = engine.session
        assert invariants.violations(session) == {}
        session.execute("BEGIN")
        try:
            for check in CHECKS:
                session.execute(f"ALTER TABLE tasks DROP CONSTRAINT {check}")
            session.execute("DROP INDEX tasks_key_held")
            session.execute("DROP INDEX tasks_unique_open")
            for sql in BROKEN_BY[promise].format(**names).split(";"):
                session.execute(sql)
            assert invariants.violations(session)[promise] == 1
        finally:
            session.execute("ROLLBACK")

    @pytest.mark.parametrize(
        "sql",
        [
            "UPDATE tasks SET worker_id = '{worker}' WHERE id = '{waiting}'",
            "UPDATE tasks SET worker_id = NULL WHERE id = '{assigned}'",
            "UPDATE tasks SET finished_at = now() WHERE id = '{running}'",
            "UPDATE tasks SET finished_at = NULL WHERE id = '{ended}'",
            "UPDATE tasks SET status = 'DONE' WHERE id = '{ended}'",
            "UPDATE tasks SET priority = 101 WHERE id = '{ended}'",
            "UPDATE tasks SET attempt = -1 WHERE id = '{waiting}'",
            "UPDATE tasks SET on_worker_lost = 'hope' WHERE id = '{waiting}'",
            "INSERT INTO task_executions (task_id, attempt, worker_id, due_at, started_at, finished_at, type, status,"
            " task_status) SELECT task_id, attempt, worker_id, due_at, started_at, finished_at, type, status,"
            " task_status"
            " FROM task_executions",
            "UPDATE task_executions SET status = 'GONE'",
            "UPDATE worker_heartbeats SET state = 'ZOMBIE'",
            "UPDATE worker_heartbeats SET slots = 0",
            "UPDATE queues SET paused_until = now(), paused_at = NULL",
            "UPDATE tasks SET concurrency_key = 'k', key_slot = 7 WHERE id IN ('{running}', '{assigned}')",
            "UPDATE tasks SET concurrency_key = 'k', key_slot = NULL WHERE id = '{running}'",
            "UPDATE queues SET key_max_concurrency = 0",
            "UPDATE queues SET key_max_concurrency = 1001",
            "INSERT INTO queue_keys (queue, key, weight) VALUES ('q', 'k', 0)",
            "INSERT INTO queue_keys (queue, key, max_concurrency) VALUES ('q', 'k', 0)",
            "INSERT INTO queue_keys (queue, key) VALUES ('q', 'k'), ('q', 'k')",
        ],
        ids=lambda sql: sql.split(" WHERE")[0].replace(" ", "-"),
    )
    def test_are_mostly_prevented_by_the_database_itself(
        self, engine: Engine, names: dict[str, object], sql: str
    ) -> None:
        engine.session.execute("INSERT INTO queues (name) VALUES (%s)", [str(uuid4())])
        with pytest.raises(Exception, match=r"violates|duplicate key"):
            engine.session.execute(sql.format(**names))
