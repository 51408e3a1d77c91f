"""Mutants of bulk operations: what is acted on, once, and for whom nobody waits."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

_PIECES: Final = "integration/engine/test_pieces.py"
_MANY: Final = "integration/engine/test_many.py"
_ACTING: Final = "integration/engine/test_acting.py"
_API: Final = "integration/test_api_bulk_operations.py"
_PROMISE: Final = 60

BULK: Final[list[Mutant]] = [
    *mutants_of(
        "bulk-operation-filters",
        "tasks_app/api/operation_filters.py",
        _API,
        ("nothing", _PROMISE, "    if not value:\n", "    if False:\n"),
        ("unknown", _PROMISE, "    if name not in NAMES:\n", "    if False:\n", f"{_API}"),
        ("empty-list", _PROMISE, 'return None if value else "must name at least one"', "return None"),
        ("unread", _PROMISE, "        return problem.errors\n", "        return {}\n"),
    ),
    *mutants_of(
        "bulk-tokens",
        "tasks_app/tickets.py",
        _ACTING,
        ("binding", _PROMISE, "    if binding != _binding(ask):\n", "    if False:\n"),
        ("expiry", _PROMISE, ", max_age=VALID_FOR", ""),
    ),
    *mutants_of(
        "bulk-pieces",
        "tasks_app/pieces.py",
        _PIECES,
        ("held", _PROMISE, "[task_id for task_id in able if task_id not in locked]", "[]"),
        ("end", _PROMISE, "if found.position is None and not piece.held:", "if found.position is None:"),
        ("unreadable", _PROMISE, "    except Exception as error:\n", "    except KeyError as error:\n"),
        ("least", _PROMISE, "max(LOOKS * pace.size, LEAST_LOOK)", "LOOKS * pace.size"),
        ("full", _PROMISE, "full = len(taken.held) >= MOST_HELD", "full = False"),
    ),
    *mutants_of(
        "bulk-acts",
        "tasks_app/acts.py",
        "unit/test_acts.py",
        ("type", _PROMISE, "if action in RUNS and task.type in barred:", "if False:"),
        ("stopping", _PROMISE, "if action is BulkAction.CANCEL and task.stopping:", "if False:"),
    ),
    *mutants_of(
        "bulk-many",
        "tasks_app/many.py",
        _MANY,
        ("taken", _PROMISE, "if key not in taken}", "}"),
        ("twice", _PROMISE, "task.unique_key is not None and task.id not in chosen}", "False}"),
        (
            "room",
            _PROMISE,
            "for task, found in zip(rest, full, strict=True) if found}",
            "for task, found in () if found}",
        ),
    ),
    *mutants_of(
        "bulk-take-bulk-operation",
        "tasks_app/sql/take_bulk_operation.sql",
        _PIECES,
        ("locked", _PROMISE, "\n   FOR NO KEY UPDATE SKIP LOCKED", ""),
        ("wait", _PROMISE, " SKIP LOCKED", ""),
        ("due", _PROMISE, " AND (due_at <= now() OR due_at > now() + interval '1 minute')", ""),
        ("stopped", _PROMISE, "state = 'RUNNING' AND ", ""),
    ),
    *mutants_of(
        "bulk-find-matching",
        "tasks_app/sql/find_matching.sql",
        _PIECES,
        (
            "later",
            _PROMISE,
            " AND id < %(before)s AND true /* narrow */\n           ORDER BY id\n",
            " AND true /* narrow */\n           ORDER BY id\n",
        ),
        ("window", _PROMISE, "           LIMIT %(window)s) AS tasks", "           ) AS tasks"),
        (
            "met",
            _PROMISE,
            "tasks.id = ANY(%(held)s::uuid[]) AND true /* matches */",
            "tasks.id = ANY(%(held)s::uuid[])",
        ),
    ),
    *mutants_of(
        "bulk-lock-matching",
        "tasks_app/sql/lock_matching.sql",
        _PIECES,
        ("wait", _PROMISE, " SKIP LOCKED", ""),
        ("again", _PROMISE, " AND true /* matches */", ""),
    ),
    *mutants_of(
        "bulk-advance-bulk-operation",
        "tasks_app/sql/advance_bulk_operation.sql",
        _PIECES,
        ("stop", _PROMISE, " AND state = 'RUNNING'", ""),
        ("rate", _PROMISE, "greatest(\n         clock_timestamp() +", "least(\n         clock_timestamp() +"),
    ),
    *mutants_of(
        "bulk-old",
        "tasks_app/sql/delete_old_operations.sql",
        "integration/engine/test_operations.py",
        ("age", _PROMISE, "finished_at < now() - %(age)s::interval", "finished_at < now()"),
        ("keys", _PROMISE, "answered_with = ANY(ARRAY(SELECT id FROM old))", "false"),
    ),
    *mutants_of(
        "bulk-change-tasks",
        "tasks_app/sql/change_tasks.sql",
        _MANY,
        (
            "gate",
            _PROMISE,
            "CASE WHEN %(queue)s::text IS NOT NULL AND t.gate IN (1, 4, 5, 6, 7) THEN 0 ELSE t.gate END",
            "t.gate",
        ),
        ("running", _PROMISE, " AND status IN ('PENDING', 'SCHEDULED')", "", f"{_MANY} {_PIECES}"),
    ),
    *mutants_of(
        "bulk-retry-tasks",
        "tasks_app/sql/retry_tasks.sql",
        _MANY,
        ("expiry", _PROMISE, "CASE WHEN t.expires_at > now() THEN t.expires_at END", "t.expires_at"),
        ("reason", _PROMISE, "cancel_requested_at = NULL, end_reason = NULL,", "cancel_requested_at = NULL,"),
    ),
    *mutants_of(
        "bulk-acting",
        "tasks_app/acting.py",
        _ACTING,
        ("state", _PROMISE, "        if row.state != source:\n", "        if False:\n"),
        (
            "stale",
            _PROMISE,
            '        require(versions, row.version, "bulk operation")\n',
            "",
        ),
        ("barred", _PROMISE, "sorted({*row.barred, *barred})", "row.barred"),
        ("once", _PROMISE, "if idempotency is not None:", "if False:", "integration/test_api_failures.py"),
    ),
    *mutants_of(
        "bulk-operation-views",
        "tasks_app/api/operation_views.py",
        _API,
        ("types", _PROMISE, "        for task_type in sorted(found.by_type):\n", "        for task_type in ():\n"),
        ("barred", _PROMISE, "            barred=barred_for(self.caller),\n", "            barred=(),\n"),
    ),
    *mutants_of(
        "bulk-admin-operations",
        "tasks_app/admin/operations.py",
        "integration/test_admin_operations.py",
        ("number", _PROMISE, "        if not form.confirms(ticket.matched):\n", "        if False:\n"),
    ),
]
