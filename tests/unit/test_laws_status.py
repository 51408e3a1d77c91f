"""The law of one writer: a task's status is written in ``transitions`` and in the statements named here, nowhere else.

Read from the source, Python and SQL, so that a new writer cannot come in by the back door: who needs one names it here.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import pytest

from tasks_app.inserting import SCHEDULED_COLUMNS
from tests.support.product import Module, all_sql, modules, parsed, placed
from tests.support.sql_reading import inserted_columns, updates_of

#: What follows from each other: a row's status, whether that is a failure, and how often the row changed.
GUARDED: Final = frozenset({"status", "unsuccessful", "version"})

#: The statements that move a task from one status to another; and one that lets it start, which its version shows.
STATEMENTS: Final = frozenset(
    {
        "assign_due_tasks",
        "start_assigned",
        "finish_attempts",
        "hand_back_assigned",
        "recover_lost_tasks",
        "expire_tasks",
        "cancel_tasks",
        "retry_tasks",
        "change_tasks",
        "expire_now",
        "time_out_approvals",
        "open_dependents",
        "end_dependents",
        "stop_waiting",
        "rerun_tasks",
    }
)
#: The function behind cancel, edit and retry: what a person may ask for, one task at a time.
FUNCTION: Final = "tasks_app.transitions._write"
#: They park tasks behind their concurrency key or target, bring them back, count them against a limit, and mark those
#: that others wait for: nothing that anybody is shown, so no new version.
UNSEEN: Final = frozenset(
    {"park_behind_keys", "park_behind_targets", "open_targets", "stamp_limited", "release_idle_keys", "release_key"}
    | {"park_behind_rates", "open_keys", "park_frozen", "release_frozen"}
    | {
        "sort_in",
        "sort_out",
        "hold_parents",
        "clear_parents",
        "watch_batches",
        "workflows_app.callbacks.telling.tell",
        "tasks_app.migrations.0001_initial",
    }
)
#: What has a status or version of its own: none of these is a task or its history.
OTHER_ROWS: Final = frozenset(
    {"Queue", "QueueKey", "Target", "Schedule", "BlackoutCalendar", "AuditEvent", "ScheduleFire", "BulkOperation"}
    | {"WebhookEndpoint", "Freeze"}
    | {"Batch"}
)
#: Writes whatever columns a new schedule has.
OF_OTHER_ROWS: Final = frozenset({"schedules_app.services._insert"})
#: Methods of managers, querysets and rows that write columns.
_WRITERS: Final = frozenset(
    {"Task", "update", "create", "get_or_create", "update_or_create", "bulk_create", "bulk_update", "save"}
)


def python_writers(module: Module) -> Iterator[str]:
    """The functions that may write a guarded column of a task by the ORM: rather one too many than one too few."""
    for where, node in placed(module):
        if isinstance(node, ast.Call) and (_may_write(node) or _may_set(node)):
            yield where
        stored = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in GUARDED
        if stored and ast.unparse(node.value) != "self":  # an exception's, a problem's
            yield where


def _may_write(call: ast.Call) -> bool:
    """Whether a call names a guarded column, as a keyword or a text, or hands on columns that nobody can see here."""
    if _called(call).removeprefix("a") not in _WRITERS or ast.unparse(call.func).split(".")[0] in OTHER_ROWS:
        return False
    given = {keyword.arg for keyword in call.keywords}
    texts = {node.value for node in ast.walk(call) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return bool((given | texts) & GUARDED) or (None in given and isinstance(call.func, ast.Attribute))


def _may_set(call: ast.Call) -> bool:
    if _called(call) != "setattr":
        return False
    name = call.args[1]
    return not isinstance(name, ast.Constant) or name.value in GUARDED


def _called(call: ast.Call) -> str:
    """The last word of what is called."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


class TestPython:
    def test_writes_a_status_in_one_function_only(self) -> None:
        writers = {where for module in modules() for where in python_writers(module)}
        assert writers - OF_OTHER_ROWS == {FUNCTION}
        assert writers >= OF_OTHER_ROWS

    @pytest.mark.parametrize(
        "line",
        [
            "Task.objects.filter(pk=1).update(status='FAILED')",
            "Task.objects.create(type='DUMMY', status='FAILED')",
            "Task(version=3)",
            "rows.update(unsuccessful=True)",
            "rows.update(**columns)",
            "rows.aupdate(version=2)",
            "task.status = 'FAILED'",
            "task.version += 1",
            "task.save(update_fields=['status'])",
            "Task.objects.bulk_update(rows, ['status'])",
            "setattr(task, 'status', 'FAILED')",
            "setattr(task, name, 'FAILED')",
        ],
    )
    def test_is_seen_to_write_one(self, line: str) -> None:
        assert list(python_writers(parsed(f"def sneak():\n    {line}"))) == ["example.sneak"]

    @pytest.mark.parametrize(
        "line",
        [
            "Queue.objects.filter(name='x').update(version=2)",
            "self.status = 503",
            "seen.update(rows)",
            "setattr(row, 'note', 1)",
            "Task.objects.update(note='x')",
        ],
    )
    def test_may_write_what_is_none(self, line: str) -> None:
        assert list(python_writers(parsed(f"def sneak():\n    {line}"))) == []


class TestSql:
    def test_writes_a_status_in_the_named_statements_only(self) -> None:
        writers = {
            sql.where for sql in all_sql() for update in updates_of("tasks", sql.text) if GUARDED & {*update.columns}
        }
        assert writers == STATEMENTS

    def test_raises_the_version_by_one_with_every_change_that_is_seen(self) -> None:
        versions = defaultdict(list)
        for sql in all_sql():
            for update in updates_of("tasks", sql.text):
                versions[sql.where].append(update.columns.get("version"))
        unseen = {where for where, written in versions.items() if None in written}
        assert unseen == UNSEEN
        assert {version for written in versions.values() for version in written if version} == {"t.version + 1"}

    def test_changes_status_and_version_together(self) -> None:
        for sql in all_sql():
            for update in updates_of("tasks", sql.text):
                assert ("status" in update.columns) == ("version" in update.columns), sql.where

    def test_gives_a_new_task_no_status(self) -> None:
        """The table's default does, so that there is one beginning of all lives."""
        named = {column for sql in all_sql() for column in inserted_columns("tasks", sql.text)}
        assert named == {"…"}  # both ways in take their columns from `tasks_app.inserting`
        assert GUARDED.isdisjoint(SCHEDULED_COLUMNS)

    @pytest.mark.parametrize(
        "sql",
        [
            "UPDATE tasks SET status = 'FAILED'",
            "WITH x AS (UPDATE tasks t SET run_at = CASE WHEN a AND b THEN c END, status = 'FAILED' FROM y) SELECT 1",
            "BEGIN UPDATE tasks AS t SET worker_id = NULL, status = 'PENDING' WHERE t.id = 1; END",
        ],
    )
    def test_is_seen_to_write_one(self, sql: str) -> None:
        assert [True for update in updates_of("tasks", sql) if "status" in update.columns] == [True]
