"""The hot statements keep to their indexes whatever the planner knows: on empty, freshly filled and large tables.

Plans are those of the engine's own session (generic, no sequential scans), of the very text it sends. They are run and
rolled back, so that what they really touch is counted too: a plan may name the right index and still walk all of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection as django_connection
from django.db import transaction as django_transaction
from psycopg._queries import PostgresQuery
from psycopg.adapt import Transformer

from access_app.sql import statement
from flow_app.matching import Room
from tasks_app import services
from tasks_app.floors import LOWEST
from tasks_app.models import Task
from tasks_app.sessions import Session
from tasks_app.states import Gate
from tests.support.engine import SUCCEEDED, Engine, places_of, room_of
from tests.support.races import transaction
from tests.support.vacuum import no_autovacuum

ENDED, WAITING, FUTURE = 100_000, 20_000, 5_000
WORKERS, OWNED, BEHIND_KEYS = 20, 8, 300
GROWING = ("tasks", "task_executions", "audit_events", "schedules", "schedule_fires")
TABLES = ("tasks", "task_executions", "worker_heartbeats")
SCANS = "SELECT coalesce(sum(seq_scan), 0) FROM pg_stat_xact_user_tables WHERE relname = 'tasks'"


@dataclass
class Plan:
    """What a statement did to the tables that grow: the indexes it used, and the rows it touched, wanted or not."""

    indexes: set[str] = field(default_factory=set)
    scanned: set[str] = field(default_factory=set)
    touched: int = 0

    def read(self, node: dict[str, Any]) -> None:
        table = node.get("Relation Name")
        if "Index Name" in node:
            self.indexes.add(node["Index Name"])
        if table in GROWING and node["Node Type"].endswith("Scan"):
            rows = sum(
                node.get(name, 0) for name in ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
            )
            self.touched += round(rows * node["Actual Loops"])
            if node["Node Type"] == "Seq Scan":
                self.scanned.add(table)
        for child in node.get("Plans", []):
            self.read(child)


def explain(session: Session, name: str, parameters: dict[str, Any], *, share: int = 34) -> Plan:
    """Prepare the statement as the session would, run it with its generic plan, and take it back.

    ``share`` is how many tasks a pass may lock of each pair.
    """
    connection = session.connection
    query = PostgresQuery(Transformer(connection))
    query.convert(statement(name).replace(")s", ")t").replace(")b", ")t"), parameters)
    types = [session.fetch("SELECT format_type(%s, NULL)", [oid])[0][0] if oid else "unknown" for oid in query.types]
    values = ["NULL" if v is None else "'" + bytes(v).decode().replace("'", "''") + "'" for v in query.params or ()]
    arguments = f"({', '.join(values)})" if values else ""
    connection.execute("BEGIN")
    try:
        connection.execute("SELECT set_config('scheduler.pass', 'held', true)")
        shares = "{" + ",".join([str(share)] * len(parameters.get("queues") or [])) + "}"
        connection.execute("SELECT set_config('scheduler.shares', %s, true)", [shares])
        connection.execute(f"PREPARE explained ({', '.join(types) or 'text'}) AS ".encode() + query.query)
        explained = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE explained {arguments or '(NULL)'}"
        [plans] = connection.execute(explained.encode()).fetchone() or [None]
        connection.execute("DEALLOCATE explained")
    finally:
        connection.execute("ROLLBACK")
    plan = Plan()
    plan.read((plans if isinstance(plans, list) else json.loads(plans))[0]["Plan"])
    return plan


@dataclass(frozen=True)
class Hot:
    """A hot statement: what it is given, the indexes it may use, and how many rows it may touch on a large table."""

    name: str
    parameters: dict[str, Any]
    indexes: str
    most: int


def hot_statements(session: Session) -> list[Hot]:
    """With parameters that find something, when there is anything."""
    workers = [w for (w,) in session.fetch("SELECT worker_id FROM worker_heartbeats WHERE state = 'ACTIVE' ORDER BY 1")]
    worker = workers[0] if workers else uuid4()
    running = session.fetch(
        "SELECT id, attempt, started_at FROM tasks WHERE worker_id = %s AND status = 'RUNNING'", [worker]
    )
    held = [task_id for task_id, _, _ in running] or [uuid4()]
    attempts = [attempt for _, attempt, _ in running] or [1]
    started = [started_at for _, _, started_at in running] or [datetime.now(UTC)]
    waiting = session.fetch(
        "SELECT id FROM tasks WHERE worker_id IS NULL AND finished_at IS NULL AND run_at < now() LIMIT 1"
    )
    [(timeline,)] = session.fetch("SELECT database_timeline()")
    pairs = [(f"q{q}", p) for q in range(3) for p in range(5)]
    due = [
        task_id
        for (task_id,) in session.fetch(
            "SELECT id FROM tasks WHERE status = 'PENDING' AND run_at < now() AND concurrency_key IS NULL LIMIT 50"
        )
    ] or [uuid4()]
    keys = {"queues": ["q0", "q1", "q2"], "keys": ["k0", "k1", "k2"]}
    count = len(held)
    batch = {
        "ids": held, "attempts": attempts, "statuses": ["FAILED"] * count, "error_codes": ["TASK_FAILED"] * count,
        "error_messages": ["x"] * count, "results": ['{"a": 1}'] * count, "worker_id": worker,
    }  # fmt: skip
    ends = batch | {
        "running": "RUNNING", "delays": [1.0] * count, "begun": [True] * count, "starts": started,
        "start": list(range(1, count + 1)), "again": False,
    }  # fmt: skip
    usually = ("statuses", "delays", "begun", "error_codes", "error_messages")
    hand_back = {"worker_id": None, "queue": None, "key": None, "target": None, "older_than": None}
    hand_back |= {"frozen": False, "limit": 1000, "actor": "x", "reason": "x"}
    me = {
        "scheduler_id": uuid4(),
        "host": "h",
        "pid": 1,
        "version": "v",
        "stale_after": 2.0,
        "workers": [],
        "floors": [],
    }
    owned = WORKERS * OWNED
    return [
        Hot("survey_due", {"start": "", "limit": 2000}, "tasks_due tasks_suspects tasks_pkey", 200),
        Hot(
            "survey_known",
            {
                "queues": [q for q, _ in pairs],
                "priorities": [p for _, p in pairs],
                "floors": [LOWEST] * len(pairs),
            },
            "tasks_due tasks_suspects tasks_pkey",
            200,
        ),
        Hot("count_room", room_of([q for q, _ in pairs], limit=500), "tasks_owned tasks_limited tasks_pkey", 2 * owned),
        Hot(
            "lock_candidates",
            places_of([q for q, _ in pairs], [p for _, p in pairs]),
            "tasks_due tasks_pkey",
            2 * 34 * len(pairs),
        ),
        Hot("survey_labelled", {}, "tasks_labelled tasks_pkey", 100),
        Hot(
            "lock_suspects",
            {"classes": [None, "{q1,q2}"], "patience": 5.0},
            "tasks_suspects tasks_owned",
            4 * 2 * WORKERS,
        ),
        Hot(
            "look_at_keys",
            keys | {"wanted": [1, 2, 3], "ages": [None, None, None]},
            "tasks_owned tasks_key_held tasks_key_waiting tasks_pkey",
            8 * BEHIND_KEYS,
        ),
        Hot(
            "look_at_keys",
            keys | {"wanted": [1, 2, 3], "ages": [60, 1, 86_400]},
            "tasks_owned tasks_key_held tasks_key_waiting tasks_pkey",
            8 * BEHIND_KEYS,
        ),
        Hot(
            "assign_due_tasks",
            {"ids": due, "workers": [worker] * len(due), "key_slots": [], "limited": ["q1"], "targets": []},
            "tasks_pkey",
            4 * len(due),
        ),
        Hot(
            "charge_buckets",
            {"ids": due, "queues": ["q1"] * len(due)},
            "tasks_pkey",
            4 * len(due),
        ),
        Hot("mend_buckets", {}, "tasks_pkey", 10),
        Hot("end_thaws", {}, "tasks_due tasks_suspects tasks_key_waiting tasks_gated tasks_pkey", 10),
        Hot(
            "park_behind_keys",
            keys | {"held": [1, 1, 1], "holders": held, "kept": held[:1]},
            "tasks_key_waiting tasks_pkey",
            8 * BEHIND_KEYS,
        ),
        Hot(
            "start_assigned",
            {"worker_id": worker, "limit": 10, "timeline": timeline, "floor": LOWEST, "ask": True},
            "tasks_owned tasks_pkey",
            4 * OWNED,
        ),
        Hot("adopt_running", {"worker_id": worker, "held": held, "timeline": timeline}, "tasks_owned", 2 * OWNED),
        Hot("finish_attempts", ends, "tasks_pkey executions_attempt", 4 * count),
        Hot("finish_attempts", ends | {"again": True}, "tasks_pkey executions_attempt", 5 * count),
        Hot("finish_attempts", ends | dict.fromkeys(usually, None), "tasks_pkey executions_attempt", 4 * count),
        Hot("keep_late_results", batch, "executions_attempt task_executions_pkey", 4 * count),
        Hot("hand_back_assigned", hand_back | {"worker_id": worker}, "tasks_owned tasks_pkey", 4 * owned),
        Hot("hand_back_assigned", hand_back | {"older_than": 2.0}, "tasks_owned tasks_pkey", 5 * owned),
        Hot("hand_back_assigned", hand_back | {"queue": "q1"}, "tasks_owned tasks_pkey", 4 * owned),
        Hot("hand_back_assigned", hand_back | {"frozen": True}, "tasks_owned tasks_pkey", 4 * owned),
        Hot("lock_frozen", {}, "tasks_owned tasks_pkey", 4 * owned),
        Hot("park_frozen", {"ids": due}, "tasks_pkey tasks_due tasks_labelled tasks_turns", 4 * len(due)),
        Hot(
            "release_frozen",
            {"freeze": None, "limit": 100, "clean": True, "level": -101, "run_at": LOWEST, "id": UUID(int=0)},
            "tasks_frozen tasks_pkey",
            100,
        ),
        Hot(
            "measure_frozen",
            {"queues": ["q0"], "targets": ["h0"], "types": ["HTTP"], "limit": 100},
            "tasks_owned tasks_due tasks_labelled tasks_suspects tasks_key_waiting tasks_gated tasks_frozen",
            7 * 100 + 2 * owned,
        ),
        Hot("expire_tasks", {"limit": 1000}, "tasks_expiring tasks_pkey", 500),
        Hot("time_out_approvals", {"limit": 1000}, "tasks_approval tasks_pkey", 500),
        Hot("recover_lost_tasks", {"max_crashes": 3, "limit": 500}, "tasks_owned tasks_pkey", 4 * owned),
        Hot(
            "release_idle_keys",
            {"queue": "", "key": "", "limit": 1000},
            "tasks_owned tasks_key_waiting tasks_key_held tasks_pkey",
            200,
        ),
        Hot(
            "delete_ended_tasks",
            {
                "age": "1 day",
                "success_age": "1 day",
                "failed_age": "1 day",
                "statuses": ["SUCCESS"],
                "after": "-infinity",
                "after_id": UUID(int=0),
                "limit": 100,
            },
            "tasks_ended tasks_pkey executions_attempt audit_task task_edges_settled",
            100 * 8,
        ),
        Hot(
            "why_waiting",
            {"id": waiting[0][0] if waiting else uuid4(), "silence": 15.0},
            "tasks_pkey tasks_key_held tasks_owned tasks_limited tasks_limited_target tasks_due tasks_ended"
            " tasks_labelled tasks_key_waiting",
            11_000 + 3 * 2_000 + 2 * owned,
        ),
        Hot(
            "find_queues",
            {"limit": 1000},
            "tasks_due tasks_labelled tasks_key_waiting tasks_gated tasks_suspects tasks_owned",
            100 + 2 * owned,
        ),
        Hot(
            "find_busy_queues",
            {"limit": 1000, "sample": 100},
            "tasks_owned tasks_pkey tasks_ended",
            2 * 100 + 2 * owned,
        ),
        Hot(
            "measure_queues",
            {
                "names": ["q0", "q1", "q2"],
                "limit": 100,
                "keyed": 50,
                "priorities": 32,
                "sample": 100,
                "gates": [2, 3, 4, 5],
                "horizon": 60.0,
            },
            "tasks_due tasks_labelled tasks_key_waiting tasks_gated tasks_suspects tasks_owned tasks_ended tasks_pkey",
            3 * 5 * 100 + 2 * owned,
        ),
        Hot(
            "measure_keys",
            {"queue": "q0", "keys": ["k0", "none"], "most": 20, "limit": 100},
            "tasks_key_held tasks_key_waiting",
            22 * 100 + 2 * owned,
        ),
        Hot(
            "measure_shares",
            {"queue": "q0", "sample": 200},
            "task_executions_pkey tasks_pkey tasks_owned tasks_turns",
            3 * 200 + 2 * owned,
        ),
        Hot(
            "measure_targets",
            {"hosts": ["h0", "none"], "limit": 100},
            "tasks_owned tasks_gated_target tasks_gated",
            2 * 100 + 2 * owned,
        ),
        Hot(
            "anything_due",
            {"worker_id": uuid4(), "queues": None},
            "tasks_owned tasks_due tasks_labelled tasks_suspects tasks_key_waiting tasks_gated",
            100,
        ),
        Hot(
            "beat",
            {"worker_id": worker, "running": 1, "prefetch": 0, "ids": held, "attempts": attempts, "floor": LOWEST},
            "tasks_owned tasks_pkey",
            4 * OWNED,
        ),
        Hot(
            "compare_held",
            {"worker_id": worker, "ids": held, "attempts": attempts},
            "tasks_pkey",
            4 * OWNED,
        ),
        Hot("look_round", me, "tasks_owned tasks_expiring tasks_ended_parents tasks_approval", 4 * owned),
        Hot(
            "change_worker_state",
            {"worker_id": worker, "state": "STOPPED", "sources": ["ACTIVE"], "beat": None},
            "tasks_owned",
            4,
        ),
        Hot("prune_processes", {"age": 1.0}, "tasks_owned", 50),
    ]


def offences(session: Session, *, large: bool) -> dict[str, str]:
    found = {}
    for hot in hot_statements(session):
        plan = explain(session, hot.name, hot.parameters)
        foreign = {i for i in plan.indexes if i.startswith(("tasks", "exec", "task_exec", "audit"))} - set(
            hot.indexes.split()
        )
        label = f"{hot.name} {[name for name, value in hot.parameters.items() if value is not None]}"
        if plan.scanned:
            found[label] = f"reads all of {plan.scanned}"
        elif foreign:
            found[label] = f"uses {foreign}"
        elif large and plan.touched > hot.most:
            found[label] = f"touches {plan.touched} rows, more than {hot.most}"
    return found


#: Rows like those of production; every column is an expression of i, and what a kind of row does not name is as usual.
USUAL = {
    "schedule_at": "now() - interval '2 days'", "run_at": "now() - i * interval '1 ms'", "max_retries": "3",
    "timeout_ms": "1000", "type": "'DUMMY'", "correlation_id": "'c' || i", "created_by": "'key:x'",
    "status": "'PENDING'", "queue": "'q' || i %% 3", "priority": "i %% 5", "created_at": "now()",
}  # fmt: skip
ENDED_ROWS = {
    "status": "'SUCCESS'", "finished_at": "now() - i * interval '10 s'", "attempt": "1",
    "worker_id": "gen_random_uuid()", "assigned_at": "now()", "started_at": "now()",
}  # fmt: skip
OWNED_ROWS = {
    "status": "CASE WHEN i %% 2 = 0 THEN 'RUNNING' ELSE 'SCHEDULED' END", "attempt": "(i + 1) %% 2",
    "assigned_at": "now() - interval '1 minute'", "started_at": "CASE WHEN i %% 2 = 0 THEN now() END",
}  # fmt: skip
KINDS: list[tuple[int, dict[str, str]]] = [
    (ENDED, ENDED_ROWS),
    (WAITING, {"expires_at": "CASE WHEN i %% 4 = 0 THEN now() + interval '1 day' END"}),
    (FUTURE, {"run_at": "now() + interval '1 day'", "priority": "100"}),
    (BEHIND_KEYS, {"concurrency_key": "'k' || i %% 3", "gate": "(i > 3)::int"}),
    (50, {"gate": "2 + i %% 4"}),
    (50, {"crash_count": "1", "attempt": "1"}),
    (20, {"expires_at": "now() - interval '1 s'", "run_at": "now() + interval '1 day'"}),
]


def fill_rows(session: Session, count: int, kind: dict[str, str], *, offset: int = 0) -> None:
    row = USUAL | kind
    task_id = f"(lpad(to_hex(1700000000000 + {offset} + i), 12, '0') || '70008000' || lpad(to_hex(i), 12, '0'))::uuid"
    session.execute(
        f"INSERT INTO tasks (id, {', '.join(row)}) SELECT {task_id}, {', '.join(row.values())}"
        f"  FROM generate_series(1, {count}) AS i"
    )


def begin_small(session: Session) -> None:
    """A few tasks, most of them assigned or running, and a planner that has learned from them."""
    engine = Engine(session)
    worker = engine.worker(slots=20)
    soon, late = datetime.now(UTC) + timedelta(milliseconds=1), datetime(2100, 1, 1, tzinfo=UTC)
    tasks = [task_id for expires_at in (soon, late, None) for task_id in engine.create_many(15, expires_at=expires_at)]
    engine.assign()
    for attempt in engine.start(worker, limit=5):
        engine.finish(worker, attempt, SUCCEEDED)
    engine.start(worker, limit=10)
    assert set(engine.statuses(tasks)) == {"PENDING", "SCHEDULED", "RUNNING", "SUCCESS"}
    for table in TABLES:
        session.execute(f"VACUUM ANALYZE {table}")
    for table in TABLES:
        session.execute(f"DELETE FROM {table}")


def fill(session: Session) -> None:
    """A system that has been busy for a while. The rows come in bulk, and nobody has told the planner."""
    workers = [Engine(session).worker(slots=10) for _ in range(WORKERS)]
    owned = [(OWNED, OWNED_ROWS | {"worker_id": f"'{worker}'::uuid"}) for worker in workers]
    session.execute("BEGIN")
    for number, (count, kind) in enumerate([*KINDS, *owned]):
        fill_rows(session, count, kind, offset=number * ENDED)
    session.execute(
        "INSERT INTO task_executions (task_id, worker_id, due_at, started_at, finished_at, attempt, type, status,"
        " task_status) SELECT id, coalesce(worker_id, gen_random_uuid()), run_at, now(), now(), 1, type, 'SUCCESS',"
        " 'SUCCESS' FROM tasks WHERE attempt > 0 AND status <> 'RUNNING' ORDER BY id"
    )
    session.execute("COMMIT")
    for dead in workers[:2]:
        Engine(session).kill(dead)


@pytest.mark.usefixtures("new_tables")
class TestPlans:
    def test_of_hot_statements_use_their_indexes_on_empty_tables(self, session: Session) -> None:
        assert offences(session, large=False) == {}

    def test_of_hot_statements_use_their_indexes_on_large_tables_whatever_the_planner_knows(
        self, session: Session
    ) -> None:
        """The statistics of its first days, when most tasks were under way; none at all; of an empty history, as an
        autovacuum that came too early leaves them; and those of the day."""
        found = {}
        with no_autovacuum(session, "tasks", "task_executions"):
            begin_small(session)
            fill(session)
            found["of its first days"] = offences(session, large=True) | scans_by_people(session)
            session.execute("SET allow_system_table_mods = on")
            session.execute(
                "DELETE FROM pg_statistic WHERE starelid IN (SELECT oid FROM pg_class WHERE relname LIKE 'task%%')"
            )
            found["none"] = offences(session, large=True) | scans_by_people(session)
            session.execute("UPDATE pg_class SET reltuples = 0 WHERE relname = 'task_executions'")
            found["an empty history"] = offences(session, large=True)
            for table in TABLES:
                session.execute(f"ANALYZE {table}")
            found["of the day"] = offences(session, large=True) | scans_by_people(session)
        assert found == {"of its first days": {}, "none": {}, "an empty history": {}, "of the day": {}}

    def test_of_a_pass_over_many_queues_touches_little_more_than_it_assigns(self, session: Session) -> None:
        """Were a full batch read from each queue, a pass over 300 full queues would read 300 batches to assign one."""
        engine, queues = Engine(session), [f"q{n}" for n in range(300)]
        for _ in range(10):
            engine.worker(slots=20)
        fill_rows(session, 60_000, {"queue": "'q' || i %% 300", "priority": "0"})
        with transaction(session):
            session.rows("take_pass")
            [share, *_] = {room.share for room in session.rows("count_room", room_of(queues, limit=1000), of=Room)}
        assert share == 1
        assert explain(session, "lock_candidates", places_of(queues), share=share).touched <= 2 * len(queues)


class TestLists:
    """What MATERIALIZED warns of: a list that locks and has a LIMIT, made anew for each row compared with it."""

    @pytest.fixture
    def taken(self, session: Session) -> Callable[[str], int]:
        """How many of twenty rows an UPDATE takes, in the plan that shows it."""
        session.execute("CREATE TEMP TABLE twenty AS SELECT n AS id, false AS taken FROM generate_series(1, 20) AS n")
        for setting in ("hashagg", "hashjoin", "mergejoin", "material", "sort", "memoize"):
            session.execute(f"SET enable_{setting} = off")

        def count(update: str) -> int:
            session.execute(update)
            [(rows,)] = session.fetch("SELECT count(*) FROM twenty WHERE taken")
            return int(rows)

        return count

    LIST = "SELECT id FROM twenty WHERE NOT taken LIMIT 1 FOR UPDATE SKIP LOCKED"

    def test_in_a_subquery_may_take_every_row(self, taken: Callable[[str], int]) -> None:
        """PostgreSQL 18 does it with `LIST` as it is; every version must when the list looks at the row."""
        list_ = self.LIST.replace("WHERE", "WHERE t.id > 0 AND")
        assert taken(f"UPDATE twenty t SET taken = true WHERE id IN ({list_})") == 20

    @pytest.mark.parametrize("word", ["MATERIALIZED", ""])
    def test_in_a_cte_take_one_whatever_they_are_called(self, taken: Callable[[str], int], word: str) -> None:
        assert taken(f"WITH l AS {word} ({self.LIST}) UPDATE twenty t SET taken = true FROM l WHERE t.id = l.id") == 1

    def test_in_an_array_take_one(self, taken: Callable[[str], int]) -> None:
        assert taken(f"UPDATE twenty SET taken = true WHERE id = ANY(ARRAY({self.LIST}))") == 1


def scans_by_people(session: Session) -> dict[str, str]:
    """Sequential scans of what people ask for: over Django's connection, whose planner is not held to indexes."""
    found = {}
    owned = Task.objects.filter(worker_id__isnull=False, finished_at__isnull=True)
    keyed = Task.objects.filter(concurrency_key__isnull=False, gate=Gate.OPEN, finished_at__isnull=True)
    ids: dict[str, UUID] = {
        "cancel": owned.filter(status="SCHEDULED").values_list("pk", flat=True)[0],
        "edit": keyed.values_list("pk", flat=True)[0],
        "retry": Task.objects.filter(finished_at__isnull=False).values_list("pk", flat=True)[0],
    }
    for name, change in {
        "cancel": lambda: services.cancel_task(ids["cancel"], actor="me"),
        "cancel of the visible candidate of a key": lambda: services.cancel_task(ids["edit"], actor="me"),
        "retry": lambda: services.retry_task(ids["retry"], actor="me"),
    }.items():
        with django_transaction.atomic(), django_connection.cursor() as cursor:
            cursor.execute(SCANS)  # what was counted before is still there
            [before] = cursor.fetchone()
            change()
            cursor.execute(SCANS)
            [after] = cursor.fetchone()
            django_transaction.set_rollback(True)
        if after > before:
            found[name] = f"{after - before} sequential scans"
    return found
