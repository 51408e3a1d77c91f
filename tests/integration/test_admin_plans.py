"""Lists stay on their indexes: plans of the statements the pages send, at 100,000 rows."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tasks_app.models import Task

pytestmark = pytest.mark.django_db

ROWS = 100_000
_TASKS = """
INSERT INTO tasks (id, created_at, schedule_at, run_at, finished_at, max_retries, timeout_ms, type, status,
                   unsuccessful, queue, correlation_id, created_by)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7000' || '8000'
        || lpad(to_hex(n), 12, '0'))::uuid,
       at, at, at, CASE WHEN n %% 50 > 0 THEN at END, 3, 1000, 'DUMMY',
       CASE WHEN n %% 50 = 0 THEN 'PENDING' WHEN n %% 50 = 1 THEN 'FAILED' ELSE 'SUCCESS' END, n %% 50 = 1,
       'q' || n %% 4, 'order-' || n / 3, 'test'
  FROM (SELECT n, now() - n * interval '1 second' AS at FROM generate_series(1, %s) AS n) AS made
"""
_EXECUTIONS = """
INSERT INTO task_executions (task_id, worker_id, due_at, started_at, finished_at, attempt, type, status, task_status)
SELECT id, id, run_at, run_at, finished_at, 1, type, status, status FROM tasks WHERE finished_at IS NOT NULL ORDER BY id
"""


@pytest.fixture
def many(client: Client) -> Client:
    cache.clear()
    with connection.cursor() as cursor:
        cursor.execute(_TASKS, [ROWS])
        cursor.execute(_EXECUTIONS)
        cursor.execute("ANALYZE tasks, task_executions")
    client.force_login(User.objects.create_superuser("maria"))
    return client


def plans(client: Client, url: str) -> str:
    """The plans of every statement a page sends to the big tables."""
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    found = []
    with connection.cursor() as cursor:
        for query in queries:
            sql = query["sql"]
            if '"tasks"' in sql or "task_executions" in sql or "FROM tasks" in sql:
                cursor.execute(f"EXPLAIN {sql}")
                found += [row[0] for row in cursor.fetchall()]
    return "\n".join(found)


def test_no_page_reads_a_whole_table(many: Client) -> None:
    """One test, because filling the tables takes longer than asking."""
    task = Task.objects.filter(status="FAILED").values_list("pk", flat=True)[0]
    lists = "/admin/tasks_app/task/"
    expected = {
        lists: "tasks_pkey",
        f"{lists}?p=100": "tasks_pkey",
        f"{lists}?o=7": "tasks_pkey",
        f"{lists}?status=FAILED&o=7": "tasks_unsuccessful",
        f"{lists}?status=PENDING": "tasks_pkey",
        f"{lists}?status=PENDING&queue=none": "tasks_due",
        f"{lists}?status=RUNNING": "tasks_owned",
        f"{lists}?status=FAILED": "tasks_unsuccessful",
        f"{lists}?status=SUCCESS": "tasks_",
        f"{lists}?queue=q1": "tasks_pkey",
        f"{lists}?queue=q1&type=DUMMY&created=1h": "tasks_pkey",
        f"{lists}?created=24h": "tasks_pkey",
        f"{lists}?q={task}": "tasks_ended_correlation",
        f"{lists}?q=order-77": "tasks_ended_correlation",
        f"{lists}?worker={task}": "tasks_owned",
        f"{lists}{task}/change/": "executions_attempt",
        "/admin/tasks_app/taskexecution/": "task_executions_pkey",
        f"/admin/tasks_app/taskexecution/?q={task}": "executions_attempt",
        "/admin/": "tasks_due",
    }
    for url, index in expected.items():
        plan = plans(many, url)
        assert index in plan, (url, plan)
        assert "Seq Scan on tasks" not in plan, (url, plan)
        assert "Seq Scan on task_executions" not in plan, (url, plan)
