"""Mutants of batches: when one is done, what is made then, and what runs again."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

_ENDINGS: Final = "integration/workflows/test_batch_endings.py"
_BATCHES: Final = "integration/workflows/test_batches.py"
_API: Final = "integration/test_api_batches.py"
_SQL: Final = "workflows_app/sql"

BATCHES: Final[list[Mutant]] = [
    *mutants_of(
        "batch-rules",
        "workflows_app/batch_rules.py",
        "unit/test_batch_rules.py",
        ("cancelled", 62, "    if ends.was_cancelled:\n", "    if False:\n"),
        ("percent", 62, "failed * 100 >= limit * total", "failed * 100 > limit * total"),
        ("none", 62, "failed > 0 and (", "(failed > 0 or percent) and ("),
    ),
    *mutants_of(
        "batch-done",
        f"{_SQL}/look_at_batches.sql",
        _ENDINGS,
        ("open", 62, "b.status = 'OPEN' OR ", ""),
        ("task", 62, "t.found IS NOT NULL", "false"),
        (
            "inner",
            62,
            "\n             OR EXISTS (SELECT FROM batches i WHERE i.parent_id = b.id AND i.finished_at IS NULL)",
            "",
        ),
    ),
    *mutants_of("batch-done", f"{_SQL}/lock_batches.sql", _ENDINGS, ("skip", 62, " SKIP LOCKED", "")),
    *mutants_of(
        "batch-watched",
        f"{_SQL}/watch_batches.sql",
        _ENDINGS,
        ("skip", 62, " SKIP LOCKED", ""),
        ("ended", 62, "       WHERE t.finished_at IS NULL\n", ""),
        ("inner", 62, "SELECT id FROM around UNION ALL ", ""),
        ("once", 62, "s.has_dependents DESC, ", ""),
        ("late", 62, "s.priority, ", "s.priority DESC, "),
        ("youngest", 62, "ORDER BY created_at DESC LIMIT 100", "ORDER BY created_at LIMIT 100"),
    ),
    *mutants_of(
        "batch-watched",
        "workflows_app/batch_endings.py",
        _ENDINGS,
        ("left", 62, "    held -= _unwatched(", "    _unwatched("),
        ("runs", 62, "look.open and look.runs", "look.open"),
    ),
    *mutants_of(
        "batch-watched",
        "workflows_app/batches.py",
        _BATCHES,
        ("empty", 62, "if stored.full or not members.tasks:", "if stored.full:", _ENDINGS),
        ("full", 62, "if stored.full or not members.tasks:", "if not members.tasks:"),
        ("new", 62, "watched_of(members.tasks, members.ids)", "None"),
    ),
    *mutants_of(
        "batch-watched",
        "workflows_app/scheduled.py",
        "integration/workflows/test_document.py",
        ("parents", 57, "has_dependents=task_id in parents", "has_dependents=False"),
    ),
    *mutants_of(
        "batch-failed",
        "tasks_app/sql/finish_attempts.sql",
        _ENDINGS,
        ("ran", 62, "t.has_dependents OR l.in_batch AND l.next = 'FAILED'", "t.has_dependents"),
        ("hint", 62, " OR in_batch AND next = 'FAILED'", ""),
    ),
    *mutants_of(
        "batch-failed",
        f"{_SQL}/count_failures.sql",
        _ENDINGS,
        ("limit", 62, "LIMIT CASE WHEN NOT b.fail_fast_is_percent THEN b.fail_fast END", "LIMIT NULL"),
        ("part", 62, "f.failed * 100 / b.fail_fast + 1", "f.failed * 100 / b.fail_fast"),
    ),
    *(
        mutant
        for name, path, mark in (
            ("lost", "tasks_app/sql/recover_lost_tasks.sql", " OR t.batch_id IS NOT NULL AND l.next = 'FAILED'"),
            ("expired", "tasks_app/sql/expire_tasks.sql", " OR t.batch_id IS NOT NULL"),
            ("by-hand", "tasks_app/sql/expire_now.sql", " OR t.batch_id IS NOT NULL"),
            ("late", "tasks_app/sql/time_out_approvals.sql", " OR t.batch_id IS NOT NULL AND l.next = 'FAILED'"),
            ("never-ran", f"{_SQL}/end_dependents.sql", " OR t.batch_id IS NOT NULL AND a.status = 'FAILED'"),
        )
        for mutant in mutants_of("batch-failed", path, _ENDINGS, (name, 62, mark, ""))
    ),
    *mutants_of(
        "batch-done",
        f"{_SQL}/clear_parents.sql",
        _ENDINGS,
        ("looked-at", 62, "AND (t.batch_id IS NULL OR t.batch_id = ANY(%(batches)s::uuid[])\n", "AND (true\n"),
    ),
    *mutants_of(
        "batch-done",
        f"{_SQL}/clear_batches.sql",
        _ENDINGS,
        ("outer", 62, "b.parent_id IS NOT NULL AND b.parent_id <> ALL(%(held)s::uuid[])", "false"),
        ("before", 62, " OR b.id <> ALL(%(done)s::uuid[])", ""),
        ("fresh", 62, "b.look AND b.id <> ALL(%(looked)s::uuid[])\n         OR ", ""),
    ),
    *mutants_of(
        "batch-done",
        f"{_SQL}/settle_edges.sql",
        _ENDINGS,
        ("marked", 62, "\n              UNION SELECT id FROM marked", ""),
        ("above", 62, "\n              UNION SELECT parent_id FROM done WHERE parent_id IS NOT NULL", ""),
        ("edges", 62, "SELECT id, status FROM done UNION ALL ", ""),
    ),
    *mutants_of(
        "batch-done",
        f"{_SQL}/end_batches.sql",
        _ENDINGS,
        ("once", 62, " AND b.finished_at IS NULL", ""),
        ("number", 62, "b.completion + 1", "b.completion"),
    ),
    *mutants_of(
        "batch-done",
        f"{_SQL}/judge_batches.sql",
        _ENDINGS,
        ("needed", 62, "t.end_reason IS DISTINCT FROM 'DEPENDENCY_FAILED'", "true"),
        (
            "outside",
            62,
            "AND NOT EXISTS (SELECT FROM tasks p WHERE p.id = e.parent_id AND p.batch_id = b.id)",
            "AND false",
        ),
    ),
    *mutants_of(
        "batch-stop",
        f"{_SQL}/stop_waiting.sql",
        _ENDINGS,
        ("skip", 62, " SKIP LOCKED", ""),
        ("bound", 62, "       LIMIT %(limit)s) AS t\n   LIMIT %(limit)s\n", "       LIMIT 9999) AS t\n"),
        ("why", 62, "CASE WHEN w.failed THEN 'BATCH_FAILED' END", "NULL"),
    ),
    *mutants_of(
        "batch-stop",
        "workflows_app/batch_endings.py",
        _ENDINGS,
        ("failing", 62, "look.stopping or look.id in failing", "look.stopping"),
        ("fresh", 62, "held.difference(fresh)", "held"),
    ),
    *mutants_of(
        "follow-ups",
        "workflows_app/follow_ups.py",
        _ENDINGS,
        (
            "refused",
            62,
            "                _refuse(session, batch, which, error)\n                continue",
            "                raise",
        ),
        ("outer", 62, "edges.member_values(new, batch.parent_id)", "edges.member_values(new, None)"),
    ),
    *mutants_of(
        "batch-add",
        "workflows_app/batches.py",
        _BATCHES,
        ("done", 63, "    if joined.status in DONE:\n", "    if False:\n"),
        ("stopping", 63, "    if joined.stopping:\n", "    if False:\n"),
        ("circle", 63, "        if find_circle(", "        if False and find_circle("),
        ("turns", 63, "        cursor.execute(_LOCK_CIRCLES)\n", ""),
        ("deep", 63, "joined.depth >= MAX_DEPTH", "False"),
        ("twice", 63, "        if not again:  # somebody else was first\n", "        if False:\n"),
    ),
    *mutants_of(
        "batch-join",
        f"{_SQL}/join_batch.sql",
        _BATCHES,
        ("held", 63, "     FOR SHARE\n", ""),
        ("around", 63, "(SELECT bool_or(has_dependents) FROM held)", "has_dependents"),
    ),
    *mutants_of(
        "batch-hold",
        "tasks_app/sql/hold_batches.sql",
        _BATCHES,
        ("held", 63, "\n     FOR NO KEY UPDATE", ""),
        ("mark", 63, "SET has_dependents = true FROM wanted", "SET has_dependents = false FROM wanted"),
        ("own", 63, " OR id = ANY(ARRAY(SELECT id FROM around))", ""),
    ),
    *mutants_of(
        "reopen",
        "tasks_app/sql/reopen_batches.sql",
        _BATCHES,
        ("held", 63, " ORDER BY id\n     FOR NO KEY UPDATE", "", f"{_BATCHES} {_ENDINGS}"),
        (
            "opened",
            63,
            "finished_at IS NOT NULL AND id = ANY(ARRAY(SELECT id FROM around)) AS opened",
            "false AS opened",
        ),
        (
            "outer",
            63,
            "b.parent_id FROM around a JOIN batches b ON b.id = a.id WHERE b.parent_id IS NOT NULL",
            "NULL::uuid FROM around a WHERE false",
        ),
    ),
    *mutants_of(
        "rerun",
        "tasks_app/sql/rerun_tasks.sql",
        _BATCHES,
        ("kept", 63, " AND t.finished_at IS NOT NULL AND t.unsuccessful", ""),
        ("gone", 63, " AND e.parent_id = ANY(%(there)s::uuid[])", ""),
        ("waits", 63, "WHEN t.id IN (SELECT child_id FROM armed) THEN 2 ", ""),
    ),
    *mutants_of(
        "rerun",
        "tasks_app/transitions.py",
        _BATCHES,
        ("mark", 63, "task.has_dependents or task.batch_id is not None", "task.has_dependents"),
    ),
    *mutants_of(
        "rerun",
        "workflows_app/sql/find_failed_in.sql",
        _BATCHES,
        ("by-hand", 63, " WHERE %(all)s OR ", " WHERE true OR %(all)s OR "),
    ),
    *mutants_of(
        "batch-kept",
        "tasks_app/sql/delete_ended_tasks.sql",
        "integration/workflows/test_retention.py",
        (
            "task",
            62,
            "NOT EXISTS (SELECT FROM batches b WHERE b.id = t.batch_id AND b.finished_at IS NULL)",
            "true",
        ),
    ),
    *mutants_of(
        "batch-kept",
        f"{_SQL}/delete_ended_batches.sql",
        "integration/workflows/test_retention.py",
        (
            "ended",
            62,
            "\n     AND NOT EXISTS (SELECT FROM tasks t WHERE t.batch_id = b.id AND t.finished_at IS NOT NULL)",
            "",
        ),
        ("inner", 62, "\n     AND NOT EXISTS (SELECT FROM batches i WHERE i.parent_id = b.id)", ""),
        ("unseen", 62, " AND NOT b.has_dependents", ""),
    ),
    *mutants_of(
        "batch-asked",
        "workflows_app/api/batch_views.py",
        _API,
        ("full", 63, "            checked.refuse_full(made.stored)\n", ""),
        ("types", 63, "        self._allow({task.type for task in new.follow_ups.values()})\n", ""),
    ),
    *mutants_of(
        "batch-many",
        "tasks_app/sql/lock_batches_of.sql",
        _BATCHES,
        ("skip", 63, " SKIP LOCKED", ""),
        ("around", 63, "SELECT a.task_id, b.parent_id FROM", "SELECT a.task_id, NULL::uuid FROM"),
    ),
    *mutants_of("batch-many", "tasks_app/many.py", _BATCHES, ("reopen", 63, "    reopen_batches(cursor, ids)\n", "")),
    *mutants_of(
        "reopen-marks",
        "tasks_app/sql/reopen_batches.sql",
        _BATCHES,
        (
            "waited",
            63,
            "EXISTS (SELECT FROM task_edges e WHERE e.parent_id = b.id AND length(e.outcome) > 0)",
            "false",
        ),
    ),
]
