"""A pass costs what is due, not what there is: 100,000 schedules, 50 of them due, whatever the planner knows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from schedules_app.firing import NEXT_DUE, fire_due
from schedules_app.models import Schedule
from tasks_app.sessions import Session
from tests.integration.engine.test_plans import Plan, explain
from tests.support.schedules import make_schedule

SCHEDULES, DUE, FIRES = 100_000, 50, 100_000


@pytest.fixture
def crowd(session: Session, new_tables: None) -> Iterator[list[UUID]]:
    """A hundred thousand schedules and as many old fires, and a busy table of tasks; the due ones."""
    model = make_schedule(due=0)
    columns = [field.attname for field in Schedule._meta.fields if field.attname not in ("id", "name", "next_fire_at")]
    names = ", ".join(columns)
    session.execute("ALTER TABLE schedules SET (autovacuum_enabled = off)")
    session.execute(
        f"INSERT INTO schedules (id, name, next_fire_at, {names}) SELECT gen_random_uuid(), 's' || i,"
        f" now() + (i - {DUE}.5) * interval '1 hour', {names} FROM schedules, generate_series(1, {SCHEDULES}) i"
    )
    session.execute("DELETE FROM schedules WHERE id = %s", [model.pk])
    session.execute(
        "INSERT INTO schedule_fires (schedule_id, slot, due_at, decided_at, state)"
        " SELECT gen_random_uuid(), now(), now(), now() - i * interval '1 s', 'FIRED'"
        f"  FROM generate_series(1, {FIRES}) i"
    )
    session.execute(
        "INSERT INTO tasks (id, created_at, schedule_at, run_at, finished_at, max_retries, timeout_ms, type, status,"
        " correlation_id, created_by, schedule_id)"
        " SELECT gen_random_uuid(), now(), now(), now(), CASE WHEN i %% 50 > 0 THEN now() END, 0, 1, 'DUMMY',"
        " CASE WHEN i %% 50 > 0 THEN 'SUCCESS' ELSE 'PENDING' END, 'c', 't', CASE WHEN i %% 2 = 0 THEN s.id END"
        "  FROM schedules s, generate_series(1, 200) i WHERE s.next_fire_at <= now()"
    )
    yield [schedule_id for (schedule_id,) in session.fetch("SELECT id FROM schedules WHERE next_fire_at <= now()")]
    session.execute("ALTER TABLE schedules RESET (autovacuum_enabled)")


def statements(session: Session, due: list[UUID]) -> dict[str, tuple[dict[str, Any], str, int]]:
    """Of each statement of a pass: parameters and how many rows it may touch."""
    now, none = datetime.now(UTC), [None] * len(due)
    [open_task] = session.fetch("SELECT id FROM tasks WHERE schedule_id = %s AND finished_at IS NULL LIMIT 1", due[:1])
    record = {
        "fires": due, "slots": [now] * DUE, "last_slots": none, "due": [now] * DUE, "states": ["MISSED"] * DUE,
        "notes": [""] * DUE, "tasks": none, "batches": none, "schedules": due,
        "next_slots": [now] * DUE, "next_fires": [now] * DUE,
        "decided": [now] * DUE, "locals": [now] * DUE, "fired": none, "rules": [""] * DUE,
        "put_offs": [0] * DUE, "reasons": [""] * DUE,
    }  # fmt: skip
    return {
        "due_schedules": ({"limit": 500}, 2 * DUE),
        "open_tasks": ({"schedules": due}, 4 * DUE),
        "record_fires": (record, 3 * DUE),
        "delete_old_fires": ({"age": "27 hours", "limit": 1000}, 3 * 2800),
        "cancel_tasks": ({"ids": list(open_task), "actors": ["x"], "reason": "x"}, 5),
    }


def offences(session: Session, due: list[UUID]) -> dict[str, str]:
    found = {}
    for name, (parameters, most) in statements(session, due).items():
        plan: Plan = explain(session, name, parameters)
        if plan.scanned:
            found[name] = f"reads all of {plan.scanned}"
        elif plan.touched > most:
            found[name] = f"touches {plan.touched} rows, more than {most}"
    [[plans]] = session.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {NEXT_DUE}")
    next_due = Plan()
    next_due.read((plans if isinstance(plans, list) else json.loads(plans))[0]["Plan"])
    if next_due.touched > 1:
        found["NEXT_DUE"] = f"touches {next_due.touched} rows"
    return found


class TestPass:
    def test_over_few_of_many_touches_only_those(self, session: Session, crowd: list[UUID]) -> None:
        assert len(crowd) == DUE
        found = {"fresh": offences(session, crowd)}
        session.execute("ANALYZE schedules, schedule_fires, tasks")
        found["analyzed"] = offences(session, crowd)
        assert found == {"fresh": {}, "analyzed": {}}
        report = fire_due(session)
        assert (report.schedules, report.more) == (DUE, False)

    def test_is_not_slowed_by_schedules_that_are_off(self, session: Session) -> None:
        make_schedule()
        make_schedule(enabled=False, next_slot=None, next_fire_at=None)
        plan = explain(session, "due_schedules", {"limit": 500})
        assert plan.touched <= 2
        assert plan.indexes == {"schedules_due"}
