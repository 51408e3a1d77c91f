"""Mutants of workflows: what an end means for those that wait for it."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

_TESTS: Final = "integration/workflows/test_endings.py"
_API: Final = "integration/test_api_dependencies.py"

WORKFLOWS: Final[list[Mutant]] = [
    *mutants_of(
        "runs",
        "workflows_app/rules.py",
        "unit/test_workflows_app_rules.py",
        ("cancelled", 57, "never=ends.failed or ends.cancelled", "never=ends.failed"),
        ("none-failed", 57, "never=ends.failed)", "never=False)"),
        ("early", 57, "_when(ends.success, never", "_when(ends.success and not ends.open, never"),
        ("too-soon", 57, "return _when(not ends.open, never=False)", "return Verdict.RUNS"),
        ("any-failed", 57, "never=not (ends.failed or ends.open)", "never=not ends.failed"),
    ),
    *mutants_of(
        "settle",
        "workflows_app/sql/settle_edges.sql",
        _TESTS,
        ("held", 57, "     AND o.child_id NOT IN (SELECT id FROM held)\n", ""),
        ("skip", 57, " SKIP LOCKED", ""),
        ("edges", 57, "   LIMIT %(edges)s\n),\nchildren", "),\nchildren"),
        ("ended", 57, "tasks\n   WHERE has_dependents AND finished_at IS NOT NULL", "tasks\n   WHERE has_dependents"),
    ),
    *mutants_of(
        "settle",
        "workflows_app/sql/clear_parents.sql",
        _TESTS,
        (
            "open",
            57,
            "\n     AND NOT EXISTS (SELECT FROM task_edges e WHERE e.parent_id = t.id AND e.outcome IS NULL)",
            "",
        ),
    ),
    *mutants_of(
        "settle",
        "workflows_app/endings.py",
        _TESTS,
        ("lock", 57, "[task_id for (task_id,) in held.fetchall()]", "found.parents"),
        ("never", 57, "        if never:\n", "        if False:\n"),
    ),
    *mutants_of(
        "settle",
        "workflows_app/sql/lock_parents.sql",
        _TESTS,
        ("wait", 57, " SKIP LOCKED", ""),
    ),
    *mutants_of(
        "settle",
        "workflows_app/sql/open_dependents.sql",
        _TESTS,
        ("due", 57, "greatest(t.run_at, clock_timestamp())", "t.run_at"),
    ),
    *mutants_of(
        "settle",
        "workflows_app/sql/end_dependents.sql",
        _TESTS,
        ("reason", 57, "end_reason = 'DEPENDENCY_FAILED', ", ""),
        ("named", 57, "ARRAY['FAILED', 'CANCELLED', 'SUCCESS']", "ARRAY['SUCCESS', 'CANCELLED', 'FAILED']"),
    ),
    *mutants_of(
        "parents",
        "tasks_app/sql/hold_parents.sql",
        _TESTS,
        ("lock", 57, "\n     FOR NO KEY UPDATE", ""),
        ("mark", 57, "SET has_dependents = true FROM", "SET has_dependents = false FROM"),
    ),
    *mutants_of(
        "parents",
        "tasks_app/creating.py",
        _TESTS,
        (
            "hint",
            57,
            "{task_id: new})\n        if ended:",
            "{task_id: new})\n        if False:",
        ),
    ),
    *mutants_of(
        "parents",
        "workers_app/recorder.py",
        _TESTS,
        ("end-hint", 57, "    if done.parents:\n", "    if False:\n"),
    ),
    *mutants_of(
        "parents",
        "workers_app/processes/housekeeper.py",
        _TESTS,
        ("swept", 57, "if seen.has_ended_parents:", "if False:"),
    ),
    *mutants_of(
        "parents",
        "workers_app/processes/scheduler.py",
        _TESTS,
        ("heard", 57, "            self._ended = True\n            if", "            if"),
        ("again", 57, "        self._ended = report.left\n", "        self._ended = False\n"),
    ),
    *mutants_of(
        "parents",
        "tasks_app/sql/delete_ended_tasks.sql",
        "integration/engine/test_retention.py",
        ("kept", 57, " AND NOT has_dependents", ""),
        ("row", 59, " AND t.ctid = l.row", ""),
        ("asked", 59, "IS NOT TRUE)", "IS NULL)"),
        ("open", 59, "IS NOT TRUE)", "IS FALSE)"),
        (
            "inputs",
            59,
            "inputs AS (DELETE FROM task_inputs WHERE",
            "inputs AS (DELETE FROM task_inputs WHERE false AND",
            "integration/engine/test_used_inputs.py::TestDeletion",
        ),
        ("edges", 57, "WHERE child_id = ANY(ARRAY(SELECT id FROM old))", "WHERE false"),
    ),
    *mutants_of(
        "refs",
        "tasks_app/api/bulk.py",
        _API,
        ("circles", 57, "for place, text in circles(inner, names).items():", "for place, text in ():"),
        ("below", 57, "    for place, parent in below_refused(", "    for place, parent in () and below_refused("),
        ("bound", 57, "sum(map(len, [*parents.values(), *waits_for.values()])) > MAX_EDGES", "False"),
    ),
    *mutants_of(
        "refs",
        "tasks_app/api/refs.py",
        _API,
        ("twice", 57, "        if ref in places:\n", "        if False:\n"),
        ("unique", 57, 'elif "uniqueKey" in item:', "elif False:"),
    ),
    *mutants_of(
        "refs",
        "tasks_app/new_tasks.py",
        _API,
        (
            "unique-key",
            57,
            '    if new.unique_key is not None:\n        return {"dependsOn"',
            '    if False:\n        return {"dependsOn"',
        ),
    ),
]
