"""Mutants of priorities that age: the order in a pass, of keys and of tenants, and what ``why`` counts."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

_AGEING: Final = "integration/engine/test_ageing.py"
_FLOW: Final = "flow_app/sql"

AGEING: Final[list[Mutant]] = [
    *mutants_of(
        "ageing",
        "flow_app/ageing.py",
        f"property/test_ageing.py {_AGEING}",
        ("order", 58, "    if not ages:\n", "    if True:\n"),
        ("level", 58, "seconds=priority * age", "seconds=priority"),
    ),
    *mutants_of(
        "ageing-pass",
        f"{_FLOW}/count_room.sql",
        _AGEING,
        ("told", 58, "WHERE priority_age_seconds IS NOT NULL AND (", "WHERE false AND ("),
    ),
    *mutants_of(
        "ageing-keys",
        "flow_app/locking.py",
        _AGEING,
        ("asked", 58, "[ages.get(queue) for queue, _ in names]", "[None for _ in names]"),
    ),
    *mutants_of(
        "ageing-turns",
        "flow_app/turns.py",
        _AGEING,
        ("asked", 58, "[ages.get(queue) for queue in queues]", "[None for _ in queues]"),
    ),
    *mutants_of(
        "ageing-release",
        "tasks_app/migrations/0001_initial.py",
        _AGEING,
        ("trigger", 58, "  IF age IS NOT NULL THEN\n", "  IF false THEN\n"),
        ("firsts", 58, "ORDER BY aged_at(t.run_at, t.priority, age), t.run_at, t.id\n   LIMIT most", "LIMIT most"),
    ),
    *mutants_of(
        "ageing-release",
        f"{_FLOW}/release_idle_keys.sql",
        _AGEING,
        ("sweep", 58, "          AND q.priority_age_seconds IS NULL\n", ""),
    ),
    *mutants_of(
        "ageing-release",
        f"{_FLOW}/release_key.sql",
        _AGEING,
        ("key", 58, "      AND (SELECT age FROM room) IS NULL\n", ""),
    ),
    *mutants_of(
        "ageing-why",
        f"{_FLOW}/why_waiting.sql",
        _AGEING,
        ("ahead", 58, "WHEN o.age IS NOT NULL THEN aged_at(o.at, -p.level, o.age)\n", "WHEN false THEN now()\n"),
        ("key", 58, "WHERE o.age IS NOT NULL AND (aged_at", "WHERE false AND (aged_at"),
    ),
    *mutants_of(
        "ageing-why",
        f"{_FLOW}/why_turn.sql",
        _AGEING,
        ("turn", 58, "WHERE m.age IS NOT NULL\n", "WHERE false\n"),
    ),
]
