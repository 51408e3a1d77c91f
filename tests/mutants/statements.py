"""Mutants of the SQL: fences, locks, orders, conditions.

Left out because nothing can tell them from the product, each tried:

- MATERIALIZED at a list that locks: PostgreSQL never inlines a CTE with FOR UPDATE (``contain_dml`` in its planner).
  The trap the word reminds of is the other shape, ``IN (SELECT … LIMIT … FOR UPDATE)``: ``start.list`` is that.
- ORDER BY t.id at the endings that are locked first: they come in the order of their batch, which is sorted by then.
- ORDER BY id at a list that skips what is locked (recovery, expiry, hand-back): who never waits cannot deadlock.
- The second look at the first of a concurrency key, and at what is to be parked behind one: it is about changes that
  commit between the snapshot of a statement and its lock, and neither statement waits for anything in between.
- The status at a list whose rows have an owner and no end: a CHECK of the table allows no third one.
"""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

_SQL: Final = "tasks_app/sql"
_FLOW: Final = "flow_app/sql"
_WORKERS: Final = "workers_app/sql"
_ENGINE: Final = "integration/engine"
_SAME: Final = "t.id = e.id AND t.attempt = e.attempt"
_RECORDER: Final = f"{_ENGINE}/test_recorder.py"
_STARTING: Final = f"{_ENGINE}/test_starting.py"
_ASSIGNMENT: Final = f"{_ENGINE}/test_assignment.py"
_RACES: Final = f"{_ENGINE}/test_assignment_races.py"
_KEYS: Final = f"{_ENGINE}/test_assignment_keys.py"
_LOCKING: Final = f"{_ENGINE}/test_locking.py"
_PASS: Final = f"{_ASSIGNMENT} {_RACES} {_ENGINE}/test_assignment_suspects.py {_KEYS}"
_RECOVERY: Final = f"{_ENGINE}/test_recovery.py"
_BEATS: Final = f"{_ENGINE}/test_heartbeats.py"

STATEMENTS: Final[list[Mutant]] = [
    *mutants_of(
        "finish",
        f"{_SQL}/finish_attempts.sql",
        _RECORDER,
        ("attempt", 7, "ON t.id = e.id AND t.attempt = e.attempt", "ON t.id = e.id"),
        ("worker", 7, "ON t.id = e.id AND t.attempt = e.attempt AND t.worker_id = %(worker_id)s", f"ON {_SAME}"),
        ("status", 7, " AND t.status = %(running)s\n                AND", "\n                AND"),
        ("start", 7, "\n                AND t.started_at = e.started_at", ""),
        ("success-attempt", 7, "\n     AND t.id = e.id AND t.attempt = e.attempt", "\n     AND t.id = e.id"),
        ("success-worker", 7, f"\n     AND {_SAME} AND t.worker_id = %(worker_id)s", f"\n     AND {_SAME}"),
        ("success-status", 7, " AND t.status = %(running)s\n     AND", "\n     AND"),
        ("success-start", 7, "\n     AND t.started_at = e.started_at", ""),
        ("cancel", 16, "'CANCELLED' OR t.cancel_requested_at IS NOT NULL THEN", "'CANCELLED' THEN"),
        (
            "success",
            16,
            "WHEN e.status = 'SUCCESS' THEN",
            "WHEN e.status = 'SUCCESS' AND t.cancel_requested_at IS NULL THEN",
        ),
        ("at-most-once", 18, "AND t.on_worker_lost = 'fail' THEN 'FAILED'", "AND false THEN 'FAILED'"),
        ("begun", 18, " AND e.begun", ""),
        ("order", 34, "   ORDER BY e.id\n", ""),
        ("history", 15, "   WHERE NOT %(again)s\n", "   WHERE %(again)s IS NOT NULL\n"),
        ("version", 14, "version = t.version + 1,\n", ""),
        ("success-version", 14, "version = t.version + 1, ", ""),
        ("retries", 17, "THEN 1 ELSE 0 END", "THEN 0 ELSE 0 END"),
        (
            "release",
            17,
            "retry_count + CASE WHEN l.next = 'PENDING' AND l.delay IS NOT NULL",
            "retry_count + CASE WHEN l.next = 'PENDING'",
        ),
        ("due", 17, "run_at = CASE WHEN l.next = 'PENDING' AND l.delay IS NOT NULL", "run_at = CASE WHEN false"),
    ),
    *mutants_of(
        "late",
        f"{_SQL}/keep_late_results.sql",
        _RECORDER,
        ("status", 7, "x.status IN ('LOST', 'RELEASED') AND ", ""),
        ("once", 7, " AND x.late IS NULL", ""),
        ("worker", 7, " AND x.worker_id = %(worker_id)s", ""),
        ("attempt", 7, " AND a.attempt = e.attempt", ""),
        ("release", 7, "   WHERE e.status <> 'RELEASED'\n", ""),
        # Without its ORDER BY the index returns them in their order all the same: nothing could be seen.
    ),
    *mutants_of(
        "start",
        f"{_SQL}/start_assigned.sql",
        _STARTING,
        ("active", 10, " AND state = 'ACTIVE'", ""),
        ("key-share", 5, " FOR KEY SHARE\n", "\n"),
        ("weak-lock", 12, " FOR KEY SHARE\n", " FOR UPDATE\n"),
        ("due", 20, "t.run_at <= now() AND (", "("),
        ("expiry", 20, " AND (t.expires_at IS NULL OR t.expires_at > now())", ""),
        ("status", 5, " AND t.status = 'SCHEDULED'", ""),
        ("fence", 6, "attempt = t.attempt + 1, ", ""),
        ("limit", 8, "   LIMIT %(limit)s\n", ""),
        ("skip", 34, "OF t SKIP LOCKED", "OF t"),
        ("version", 14, "version = t.version + 1, ", ""),
        ("order", 28, "\n ORDER BY priority DESC, run_at, id", ""),
        (
            "list",
            8,
            "t.id = ANY(ARRAY(SELECT id FROM mine))",
            "t.id IN (SELECT x.id FROM tasks x WHERE x.worker_id = (SELECT worker_id FROM me) AND x.finished_at IS NULL"
            " AND x.status = 'SCHEDULED' AND x.run_at <= now() LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED)",
        ),
    ),
    *mutants_of(
        "pass",
        f"{_FLOW}/take_pass.sql",
        _RACES,
        ("lock", 27, " FOR UPDATE SKIP LOCKED", ""),
        ("skip", 27, " FOR UPDATE SKIP LOCKED", " FOR UPDATE"),
    ),
    *mutants_of(
        "room",
        f"{_FLOW}/count_room.sql",
        f"{_PASS} {_LOCKING}",
        ("pass", 8, " AND current_setting('scheduler.pass', true) = 'held'\n", "\n"),
        ("active", 10, "WHERE state = 'ACTIVE' AND", "WHERE"),
        ("key-share", 5, "   FOR KEY SHARE\n", ""),
        ("weak-lock", 12, "   FOR KEY SHARE\n", "   FOR UPDATE\n"),
        ("worker-order", 34, "   ORDER BY worker_id\n   FOR KEY SHARE", "   FOR KEY SHARE"),
        (
            "running-counts",
            8,
            "WHERE t.worker_id = w.worker_id AND t.finished_at IS NULL\n",
            "WHERE t.worker_id = w.worker_id AND t.finished_at IS NULL AND t.status = 'SCHEDULED'\n",
        ),
        ("capacity", 8, "slots + prefetch AS capacity", "slots + prefetch + 1 AS capacity"),
        ("limit", 28, "least(c.room, %(limit)s)", "c.room"),
        ("paused", 4, "q.name = p.queue", "false"),
        ("class", 4, "c.queues IS NULL OR p.queue = ANY(c.queues)), 0)", "true), 0)"),
    ),
    *mutants_of(
        "candidates",
        f"{_FLOW}/lock_candidates.sql",
        f"{_PASS} {_LOCKING}",
        ("due", 20, "AND t.priority = p.priority AND t.run_at <= now()", "AND t.priority = p.priority"),
        (
            "expiry",
            20,
            "       AND (t.expires_at IS NULL OR t.expires_at > now())\n     ORDER BY t.run_at",
            "     ORDER BY t.run_at",
        ),
        ("skip", 34, "FOR NO KEY UPDATE SKIP LOCKED) AS d", "FOR NO KEY UPDATE) AS d"),
        (
            "no-lock",
            6,
            "       FOR NO KEY UPDATE SKIP LOCKED) AS d",
            ") AS d",
            f"{_RACES} {_ENGINE}/test_transitions.py",
        ),
        (
            "suspects-apart",
            18,
            " AND t.crash_count = 0\n       AND t.queue = p.queue",
            "\n       AND t.queue = p.queue",
        ),
        ("share", 28, "     LIMIT p.share\n", "     LIMIT 1000\n"),
        ("room", 8, "   WHERE p.share > 0\n", ""),
    ),
    *mutants_of(
        "suspects",
        f"{_FLOW}/lock_suspects.sql",
        f"{_PASS} {_LOCKING}",
        ("due", 20, "       AND t.run_at <= now() AND (t.exp", "       AND (t.exp"),
        ("expiry", 20, " AND (t.expires_at IS NULL OR t.expires_at > now())", ""),
        ("paused", 4, "q.name = t.queue", "false"),
        ("class", 4, "       AND (c.queues IS NULL OR t.queue = ANY(c.queues::text[]))\n", ""),
        ("pass", 8, "       AND current_setting('scheduler.pass', true) = 'held'\n", ""),
        ("skip", 34, "FOR NO KEY UPDATE OF t SKIP LOCKED) AS d", "FOR NO KEY UPDATE OF t) AS d"),
    ),
    *mutants_of(
        "keys",
        f"{_FLOW}/look_at_keys.sql",
        f"{_KEYS} {_LOCKING}",
        ("holder", 19, "   WHERE k.holder IS NULL\n", ""),
        ("head-skip", 34, "     FOR NO KEY UPDATE OF t SKIP LOCKED\n", "     FOR NO KEY UPDATE OF t\n"),
        ("expiry", 20, " AND (t.expires_at IS NULL OR t.expires_at > now())", ""),
    ),
    *mutants_of(
        "park",
        f"{_FLOW}/park_behind_keys.sql",
        f"{_PASS} {_LOCKING}",
        ("holder-lock", 24, "     FOR SHARE SKIP LOCKED\n", ""),
        ("due", 24, " AND w.run_at <= now()\n", "\n"),
    ),
    *mutants_of(
        "assign",
        f"{_FLOW}/assign_due_tasks.sql",
        _PASS,
        ("version", 14, "version = t.version + 1, ", ""),
        ("parked", 24, " key_blocked = false,", ""),
    ),
    *mutants_of(
        "match",
        "flow_app/matching.py",
        "unit/test_matching.py",
        ("budget", 28, "budget = min(limit, sum", "budget = max(limit, sum"),
        ("capacity", 8, "if opening[1] < worker.capacity:", "if opening[1] <= worker.capacity:"),
        ("suspects-alone", 18, "if not worker.suspects:", "if True:"),
        ("suspects-last", 18, "if candidate.suspect]", "if False]"),
        ("turns", 28, "each.turn <= share]", "True]"),
        ("share", 28, "line[:share]", "line"),
        ("class", 4, "if each.queue in queues]", "if True]"),
        ("twice", 5, "each.task_id not in tasks and ", ""),
        ("key-twice", 19, "(each.queue, each.concurrency_key) not in keys]", "True]"),
        ("specialists", 28, "return [*ordered, (None, classes[None])]", "return [(None, classes[None]), *ordered]"),
        ("priority", 28, "return -candidate.priority,", "return 0,"),
        ("level", 28, "return number > worker.slots, number, place", "return False, number, place"),
    ),
    *mutants_of(
        "pause",
        "flow_app/migrations/0001_initial.py",
        f"{_ENGINE}/test_queues.py {_ASSIGNMENT}",
        ("ends", 4, " AND (paused_until IS NULL OR paused_until > now())", ""),
        ("for-good", 4, "(paused_until IS NULL OR paused_until > now())", "paused_until > now()"),
    ),
    *mutants_of(
        "recover",
        f"{_SQL}/recover_lost_tasks.sql",
        _RECOVERY,
        ("draining", 11, "w.state IN ('ACTIVE', 'DRAINING'))\n)", "w.state = 'ACTIVE')\n)"),
        ("owner", 11, "     AND t.worker_id = ANY(ARRAY(SELECT worker_id FROM gone))\n", ""),
        ("ended", 11, "     AND t.finished_at IS NULL AND t.status IN ('SCHEDULED', 'RUNNING')\n", ""),
        ("skip", 34, "OF t SKIP LOCKED", "OF t"),
        ("no-lock", 11, "     FOR NO KEY UPDATE OF t SKIP LOCKED\n", ""),
        ("cancel", 16, "WHEN t.cancel_requested_at IS NOT NULL THEN 'CANCELLED'", "WHEN false THEN 'CANCELLED'"),
        ("at-most-once", 18, "WHEN t.on_worker_lost = 'fail' OR t.crash_count", "WHEN t.crash_count"),
        (
            "threshold",
            18,
            "t.crash_count + 1 >= %(max_crashes)s THEN 'FAILED'",
            "t.crash_count + 1 > %(max_crashes)s THEN 'FAILED'",
        ),
        ("unused", 17, "CASE WHEN t.status = 'SCHEDULED' THEN 'PENDING'\n              WHEN", "CASE WHEN"),
        ("crashes", 18, "CASE WHEN l.was = 'RUNNING' THEN 1 ELSE 0 END", "0"),
        ("no-crash", 17, "CASE WHEN l.was = 'RUNNING' THEN 1 ELSE 0 END", "1"),
        ("history", 15, "  ON CONFLICT (task_id, attempt) DO NOTHING\n", ""),
        ("version", 14, "version = t.version + 1,", ""),
    ),
    *mutants_of(
        "beat",
        f"{_WORKERS}/beat.sql",
        _BEATS,
        ("final", 10, " AND state IN ('ACTIVE', 'DRAINING')", ""),
        ("counter", 9, "beat = beat + 1, ", ""),
        ("drop-attempt", 5, "t.attempt <> h.attempt OR ", ""),
        ("drop-owner", 5, " OR t.worker_id IS DISTINCT FROM %(worker_id)s AS lost", " AS lost"),
        ("cancel", 16, "t.cancel_requested_at IS NOT NULL AND t.finished_at IS NULL AS", "false AS"),
    ),
    *mutants_of(
        "mark",
        f"{_WORKERS}/change_worker_state.sql",
        f"{_BEATS} {_STARTING} {_RECOVERY}::TestMarkSilentWorkers",
        ("final", 10, " AND state = ANY(%(sources)s::text[])", ""),
        ("beat", 9, "     AND (%(beat)s::bigint IS NULL OR beat = %(beat)s::bigint)\n", ""),
        ("strength", 5, "     FOR UPDATE\n", "     FOR NO KEY UPDATE\n"),
        ("no-lock", 5, "     FOR UPDATE\n", ""),
        ("owner", 9, "THEN 'DEAD' ELSE", "THEN 'STOPPED' ELSE"),
    ),
    *mutants_of(
        "register",
        f"{_WORKERS}/register_worker.sql",
        _BEATS,
        ("again", 10, "DO UPDATE SET beat", "DO UPDATE SET state = 'ACTIVE', beat"),
    ),
    *mutants_of(
        "prune",
        f"{_WORKERS}/prune_processes.sql",
        f"{_RECOVERY}::TestPruneProcesses",
        (
            "owner",
            9,
            "     AND NOT EXISTS (SELECT FROM tasks t WHERE t.worker_id = w.worker_id AND t.finished_at IS NULL)\n",
            "",
        ),
        ("live", 5, "w.state IN ('STOPPED', 'DEAD') AND ", ""),
        ("age", 9, " AND w.state_changed_at < now() - make_interval(secs => %(age)s)", ""),
    ),
    *mutants_of(
        "expire",
        f"{_SQL}/expire_tasks.sql",
        f"{_ENGINE}/test_expiry.py",
        ("recheck-status", 11, " AND t.status IN ('PENDING', 'SCHEDULED')", ""),
        ("recheck-time", 20, "t.expires_at <= now() AND t.finished_at", "t.finished_at"),
        ("skip", 34, "OF t SKIP LOCKED", "OF t"),
        ("version", 14, "version = t.version + 1,", ""),
    ),
    *mutants_of(
        "hand-back",
        f"{_FLOW}/hand_back_assigned.sql",
        f"{_ENGINE}/test_assignment_taken_back.py",
        (
            "recheck-status",
            11,
            "FROM owned))\n     AND t.finished_at IS NULL AND t.status = 'SCHEDULED'\n",
            "FROM owned))\n     AND t.finished_at IS NULL\n",
        ),
        (
            "recheck-owner",
            11,
            "FROM owned))\n     AND t.finished_at IS NULL AND t.status = 'SCHEDULED'\n"
            "     AND (%(worker_id)s::uuid IS NULL OR t.worker_id = %(worker_id)s::uuid)\n",
            "FROM owned))\n     AND t.finished_at IS NULL AND t.status = 'SCHEDULED'\n",
        ),
        (
            "recheck-age",
            11,
            "IS NULL OR t.assigned_at < now() - make_interval(secs => %(older_than)s::float8))\n",
            "IS NULL OR true)\n",
        ),
        ("elsewhere", 4, "f.worker_id <> t.worker_id AND ", ""),
        ("queues", 4, " AND (f.queues IS NULL OR t.queue = ANY(f.queues))", ""),
        ("free", 4, "w.state = 'ACTIVE' AND %(older_than)s", "%(older_than)s"),
        ("skip", 34, "OF t SKIP LOCKED", "OF t"),
        ("version", 14, "version = t.version + 1, ", ""),
    ),
    *mutants_of(
        "keys",
        f"{_FLOW}/release_idle_keys.sql",
        f"{_KEYS}::TestReleaseIdleKeys",
        ("held", 19, "h.worker_id IS NOT NULL AND h.finished_at IS NULL)", "false)"),
        ("skip", 34, "OF t SKIP LOCKED", "OF t"),
    ),
    *mutants_of(
        "retention",
        f"{_SQL}/delete_ended_tasks.sql",
        f"{_ENGINE}/test_retention.py",
        ("age", 3, "finished_at < now() - %(age)s::interval AND ", ""),
        ("kind", 3, " AND status = ANY(%(statuses)s::text[])", ""),
        ("skip", 34, " SKIP LOCKED", ""),
        (
            "keys",
            2,
            "t.id = ANY(k.task_ids) AND t.id NOT IN (SELECT id FROM old))",
            "false)",
        ),
    ),
    *mutants_of(
        "floors",
        "tasks_app/floors.py",
        f"{_ENGINE}/test_floors.py",
        ("epoch", 8, " or (session.connection and session.epoch != self._epoch)", ""),
        ("age", 4, "if now >= self._forget_at or", "if"),
        ("lowered", 4, "if _is_lower(floor, self._floors.get(worker_id, LOWEST)):", "if False:"),
        ("not-raised", 4, "if _is_lower(floor, self._floors.get(worker_id, LOWEST)):", "if True:"),
    ),
    *mutants_of(
        "floors",
        "flow_app/outlook.py",
        f"{_ENGINE}/test_floors.py",
        ("same-head", 4, "if known == head and time", "if known and time"),
        ("look-again", 4, "known == head and time.monotonic() < until", "known == head"),
        ("pairs-epoch", 4, "if session.connection and session.epoch != self._epoch:", "if False:"),
        ("pairs-doubt", 25, "self._doubted_at < look.began and ", ""),
        ("pairs-age", 25, "look.began and time.monotonic() < until", "look.began"),
        ("pairs-slow", 24, " if took >= SLOW + A_HEAD * len(heads) else 0.0", ""),
    ),
    *mutants_of(
        "floors-survey",
        f"{_FLOW}/survey_known.sql",
        f"{_ENGINE}/test_floors.py",
        ("between", 4, "AND queue = g.queue AND priority < g.above AND priority > g.below", "AND false"),
        ("highest", 4, " UNION ALL SELECT DISTINCT queue, 101 FROM known", ""),
        ("queues-between", 4, "AND queue > g.above AND queue < g.below", "AND false"),
        ("first", 4, " UNION ALL SELECT ''", ""),
        ("last", 4, "AND queue > (SELECT max(queue) FROM known)", "AND false"),
        ("margin", 8, "interval '1 second'", "interval '0'"),
    ),
    *mutants_of(
        "floors-survey",
        "flow_app/survey.py",
        f"{_ENGINE}/test_floors.py",
        ("overlooked", 25, "outlook.pairs.doubt()", "pass"),
        ("confirmed", 24, "outlook.pairs.note_look(began, heads)", "pass"),
    ),
    *mutants_of(
        "floors-hints",
        "workers_app/processes/scheduler.py",
        f"{_ENGINE}/test_scheduler.py",
        ("old", 4, "if message != wakeups.NEW:", "if False:"),
    ),
    *mutants_of(
        "floors-beside",
        "workers_app/processes/housekeeper.py",
        f"{_ENGINE}/test_scheduler.py",
        ("look", 25, "if find_overlooked(self._session, self._outlook):", "if False:"),
    ),
    *mutants_of(
        "floors-pass",
        f"{_FLOW}/count_room.sql",
        f"{_ENGINE}/test_floors.py",
        ("margin", 8, "coalesce(o.oldest, now()) - interval '1 second'", "coalesce(o.oldest, now())"),
    ),
    *mutants_of(
        "locked-heads",
        f"{_FLOW}/lock_candidates.sql",
        f"{_ENGINE}/test_floors.py",
        ("heads", 4, "WHERE t.id = ANY(%(locked)s::uuid[])", "WHERE false"),
    ),
    *mutants_of(
        "locked-learn",
        "flow_app/outlook.py",
        f"{_ENGINE}/test_floors.py",
        ("room", 4, " and (at or room_for(pair[0], workers))", ""),
    ),
]
