"""Mutants of full queues: what counts as waiting, who is refused, what is kept in mind."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

_BOUNDS: Final = "integration/engine/test_bounds.py"

BOUNDS: Final[list[Mutant]] = [
    *mutants_of(
        "bounds",
        "tasks_app/bounds.py",
        f"unit/test_bounds.py {_BOUNDS}",
        ("key", 56, "((queue, None), (queue, key))", "((queue, None),)"),
        ("full", 56, "self.waiting[name] >= self.most[name]", "self.waiting[name] > self.most[name]"),
        ("added", 56, "(waiting + number, most, until)", "(waiting, most, until)"),
        ("capped", 56, "(counted_to >= most or waiting <= counted_to)", "True"),
        ("slow", 56, "if waiting is not None and took >= SLOW:", "if False:"),
        ("second", 56, "now + UNBOUNDED_FOR", "now + 60"),
    ),
    *mutants_of(
        "bounds-count",
        "tasks_app/migrations/0001_initial.py",
        _BOUNDS,
        (
            "gated",
            56,
            "WHERE gate > 1 AND worker_id IS NULL AND finished_at IS NULL AND queue = of_queue",
            "WHERE false",
        ),
        ("plan", 56, "SET enable_seqscan = off SET enable_bitmapscan = off", ""),
    ),
    *mutants_of(
        "bounds-look",
        "tasks_app/sql/look_at_bounds.sql",
        _BOUNDS,
        ("schedules", 56, " AND NOT starts_with(k.concurrency_key, 'schedule:')", ""),
    ),
    *mutants_of(
        "bounds-create",
        "tasks_app/creating.py",
        _BOUNDS,
        ("one", 56, "            require_room(cursor, new.queue, new.concurrency_key)\n", "            pass\n"),
        ("many", 56, "        if bounded:\n", "        if False:\n"),
        ("unique", 56, "        if name not in met:\n", "        if True:\n"),
    ),
    *mutants_of(
        "bounds-change",
        "tasks_app/transitions.py",
        _BOUNDS,
        ("retry", 56, "    _require_room(task.queue, task)\n", ""),
        ("edit", 56, "        _require_room(queue, task)\n", "        pass\n"),
    ),
    *mutants_of(
        "bounds-slot",
        "schedules_app/batches.py",
        _BOUNDS,
        ("miss", 56, "            self._miss_full(cursor)\n", "            pass\n"),
    ),
    *mutants_of(
        "bounds-way",
        "schedules_app/making.py",
        _BOUNDS,
        ("kept", 56, "if schedule in schedules}", "if schedule}"),
    ),
    *mutants_of(
        "bounds-run",
        "schedules_app/by_hand.py",
        _BOUNDS,
        ("refused", 56, "        if refused:\n", "        if False:\n"),
    ),
    *mutants_of(
        "bounds-bulk",
        "tasks_app/api/bulk.py",
        "integration/test_api_bounds.py",
        ("told", 56, "services.full_for(stored) if stored.full else None", "None"),
    ),
]
