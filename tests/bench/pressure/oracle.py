"""Nothing lost, nothing twice: what was accepted, what the tables say, and what the bodies wrote down must agree."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

import psycopg

_LOAD = """
CREATE TEMP TABLE accepted (id uuid PRIMARY KEY);
CREATE TEMP TABLE ran (task_id uuid, began float8, attempt int)"""
#: What is wrong → how to count it.
WRONG = {
    "accepted tasks are not there": """
        SELECT count(*) FROM accepted a WHERE NOT EXISTS (SELECT FROM tasks t WHERE t.id = a.id)""",
    "tasks did not succeed": "SELECT count(*) FROM tasks WHERE status <> 'SUCCESS'",
    "tasks succeeded twice": """
        SELECT count(*) FROM (SELECT FROM task_executions WHERE status = 'SUCCESS'
                               GROUP BY task_id HAVING count(*) > 1) AS twice""",
    "tasks succeeded without an attempt that did": """
        SELECT count(*) FROM tasks t
         WHERE NOT EXISTS (SELECT FROM task_executions x
                            WHERE x.task_id = t.id AND x.attempt = t.attempt AND x.status = 'SUCCESS')""",
    "attempts ended otherwise than by success or a fault": """
        SELECT count(*) FROM task_executions WHERE status NOT IN ('SUCCESS', 'LOST', 'RELEASED')""",
    "attempts ran twice": """
        SELECT count(*) FROM (SELECT FROM ran GROUP BY task_id, attempt HAVING count(*) > 1) AS twice""",
    "bodies ran that have no history": """
        SELECT count(*) FROM ran r WHERE NOT EXISTS (SELECT FROM task_executions x
                                                      WHERE x.task_id = r.task_id AND x.attempt = r.attempt)""",
    "attempts succeeded without a body that ran": """
        SELECT count(*) FROM task_executions x
         WHERE x.status = 'SUCCESS' AND NOT EXISTS (SELECT FROM ran r
                                                     WHERE r.task_id = x.task_id AND r.attempt = x.attempt)""",
    "bodies ran again after another attempt had succeeded": """
        SELECT count(*) FROM ran r JOIN task_executions x ON x.task_id = r.task_id AND x.attempt < r.attempt
         WHERE x.status = 'SUCCESS'""",
}
_REPEATED = "SELECT count(*) - count(DISTINCT task_id) FROM ran"


def check(connection: psycopg.Connection, accepted: Iterable[UUID], marks: Path) -> int:
    """Raise RuntimeError with what is wrong; return how many bodies ran again after a fault."""
    connection.execute(_LOAD)
    with connection.cursor().copy("COPY accepted FROM STDIN") as copy:
        for task_id in accepted:
            copy.write_row([task_id])
    with connection.cursor().copy("COPY ran FROM STDIN (DELIMITER ' ')") as copy:
        for path in marks.iterdir():
            copy.write(path.read_bytes())
    connection.execute("CREATE INDEX ON ran (task_id, attempt)")
    connection.execute("ANALYZE")
    counts = {text: _count(connection, sql) for text, sql in WRONG.items()}
    if wrong := [f"{count} {text}" for text, count in counts.items() if count]:
        raise RuntimeError("; ".join(wrong))
    return _count(connection, _REPEATED)


def _count(connection: psycopg.Connection, sql: str) -> int:
    row = connection.execute(sql.encode()).fetchone()
    assert row is not None
    return int(row[0])
