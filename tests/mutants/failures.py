"""Mutants of failures in groups, of marks and of the audit trail: what is passed by, counted twice, or shown."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

_PROMISE: Final = 69
_ENGINE: Final = "integration/engine/test_grouping.py"
_SPANS: Final = "property/test_grouping.py"
_API: Final = "integration/test_api_failures.py"
_AUDIT: Final = "integration/test_api_audit.py"
_SHAPES: Final = "unit/test_fingerprints.py"

FAILURES: Final[list[Mutant]] = [
    *mutants_of(
        "failure-spans",
        "tasks_app/grouping.py",
        _SPANS,
        ("again", _PROMISE, "if sure < noted and mark.is_settled:", "if False:"),
        ("settled", _PROMISE, "if sure < noted and mark.is_settled:", "if sure < noted:"),
        ("renewed", _PROMISE, "notes = sure == noted < read", "notes = noted < read", _ENGINE),
        ("restored", _PROMISE, "    if mark.highest < read:\n", "    if False:\n", _ENGINE),
        (
            "held",
            _PROMISE,
            "return delete_unused_groups(session) if held else 0",
            "return delete_unused_groups(session)",
            _ENGINE,
        ),
    ),
    *mutants_of(
        "failure-mark",
        "tasks_app/sql/take_failure_mark.sql",
        _ENGINE,
        ("settled", _PROMISE, "noted_xid <= pg_snapshot_xmin(pg_current_snapshot())::text::bigint", "true"),
        ("elsewhere", _PROMISE, "noted_xid > pg_snapshot_xmax(pg_current_snapshot())::text::bigint", "false"),
        (
            "idle",
            _PROMISE,
            " WHERE read_id <> highest OR ",
            " WHERE true OR ",
        ),
        ("one", _PROMISE, "   FOR NO KEY UPDATE OF failure_marks SKIP LOCKED\n", ""),
    ),
    *mutants_of(
        "failure-rows",
        "tasks_app/sql/add_failures.sql",
        _ENGINE,
        ("gone", _PROMISE, " WHERE NOT is_old OR task_id IN (SELECT id FROM held)", ""),
        ("first", _PROMISE, "first_at = least(g.first_at, excluded.first_at), ", ""),
        (
            "latest",
            _PROMISE,
            "CASE WHEN excluded.last_at >= g.last_at THEN",
            "CASE WHEN true THEN",
        ),
        ("waits", _PROMISE, "CASE WHEN %(notes)s THEN pg_current_xact_id()::text::bigint ELSE noted_xid END", "0"),
    ),
    *mutants_of(
        "failure-tasks",
        "tasks_app/failures.py",
        _API,
        ("attempt", _PROMISE, ', attempt=OuterRef("attempt")', ""),
        ("end", _PROMISE, '.filter(at=Coalesce(OuterRef("finished_at"), "at"))', ""),
    ),
    *mutants_of(
        "failure-retry",
        "tasks_app/api/failure_inputs.py",
        _API,
        ("failed", _PROMISE, '        "status": [str(TaskStatus.FAILED)],\n', ""),
        ("since", _PROMISE, '        "endedAfter": _shown(window.since),\n', ""),
        ("queue", _PROMISE, "    if window.queue is not None:\n", "    if False:\n"),
        ("until", _PROMISE, 'values.get("to") or timezone.now()', 'values.get("to")'),
    ),
    *mutants_of(
        "failure-shapes",
        "tasks_app/fingerprints.py",
        _SHAPES,
        ("status", _PROMISE, "if code in _NUMBERED else None", "if False else None"),
        ("bounded", _PROMISE, "    text = message[:LOOKED_AT]\n", "    text = message\n"),
        ("quotes", _PROMISE, "[^\\u201c\\u201d\\n]*\\u201d", "[^\\u201d\\n]*\\u201d"),
    ),
    *mutants_of(
        "audit",
        "access_app/api/audit.py",
        _AUDIT,
        ("reason", 36, "mask_urls(event.reason, MASK)", "event.reason"),
        ("detail", 36, "masked(event.detail, MASK)", "event.detail"),
        ("target", 36, "mask_urls(name, MASK)", "name"),
    ),
    *mutants_of(
        "audit-filters",
        "access_app/api/audit_filters.py",
        _AUDIT,
        ("alone", 36, 'if "targetId" in self.fields and "targetType" not in self.fields:', "if False:"),
        ("kind", 36, 'target=f"{kind}:{name}"', 'target__endswith=f":{name}"'),
    ),
    *mutants_of(
        "marks",
        "monitoring_app/marks.py",
        "integration/test_marks.py",
        ("most", 36, "            _forget_oldest(mark)\n", ""),
        ("oldest", 36, "    if mark in beyond:\n", "    if False:\n"),
        ("name", 36, "    if problem := problem_of_name(name):\n", "    if False:\n"),
    ),
]
