"""Mutants of flow control: limits of queues and targets, labels, the turns of tenants, figures of queues."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

_SQL: Final = "tasks_app/sql"
_FLOW: Final = "flow_app/sql"
_ENGINE: Final = "integration/engine"
_LABELS: Final = f"{_ENGINE}/test_labels.py"

FLOW: Final[list[Mutant]] = [
    *mutants_of(
        "key-order",
        "flow_app/locking.py",
        f"{_LABELS}::TestWhatWaitsBehindOne",
        ("parks", 4, "len(key.holders) + given[name] + len(kept.get(name, ()))", "len(key.holders) + given[name]"),
        ("stays-in-sight", 4, "for task_id in kept.get(name, ())]", "for task_id in []]"),
        (
            "suspects",
            4,
            "if first.suspect or first.needs_id is not None]",
            "if first.needs_id is not None]",
            f"{_ENGINE}/test_assignment_suspects.py",
        ),
    ),
    *mutants_of(
        "key-order-look",
        f"{_FLOW}/look_at_keys.sql",
        f"{_LABELS}::TestWhatWaitsBehindOne",
        ("wanted", 4, "FILTER (WHERE l.common) ", ""),
    ),
    *mutants_of(
        "key-order-why",
        "flow_app/why.py",
        "property/test_state_machine.py",
        ("told", 4, "    if number < free:\n", "    if True:\n"),
    ),
    *mutants_of(
        "limits",
        f"{_FLOW}/count_room.sql",
        f"{_ENGINE}/test_limits.py",
        ("owned", 51, " AND t.worker_id IS NOT NULL AND t.finished_at IS NULL) AS h", " AND false) AS h"),
        ("share", 51, "(l.room ->> p.queue)::int, ", "NULL, "),
        ("suspects", 51, "q.name = ANY(%(queues)s::text[]) OR %(suspects)s", "q.name = ANY(%(queues)s::text[])"),
    ),
    *mutants_of(
        "limit-stamp",
        f"{_FLOW}/assign_due_tasks.sql",
        f"{_ENGINE}/test_limits.py",
        ("stamp", 51, "limited = t.queue = ANY(%(limited)s::text[])", "limited = false"),
    ),
    *mutants_of(
        "target-room",
        f"{_FLOW}/look_at_targets.sql",
        f"{_ENGINE}/test_targets.py",
        (
            "backing-off",
            54,
            "CASE WHEN g.backing_off_until > now() THEN 0\n",
            "CASE WHEN false THEN 0\n",
        ),
        ("owned", 54, " AND t.worker_id IS NOT NULL AND t.finished_at IS NULL)) END", " AND false)) END"),
    ),
    *mutants_of(
        "target-stamp",
        f"{_FLOW}/assign_due_tasks.sql",
        f"{_ENGINE}/test_targets.py",
        ("stamp", 54, "OR coalesce(t.target = ANY(%(targets)s::text[]), false)", ""),
    ),
    *mutants_of(
        "target-park",
        f"{_FLOW}/park_behind_targets.sql",
        f"{_ENGINE}/test_targets.py",
        ("ahead", 54, "   WHERE w.target = ANY(%(hosts)s::text[])\n", "   WHERE false\n"),
    ),
    *mutants_of(
        "target-open",
        f"{_FLOW}/open_targets.sql",
        f"{_ENGINE}/test_targets.py",
        ("backing-off", 54, "CASE WHEN g.backing_off_until > now() THEN 0\n", "CASE WHEN false THEN 0\n"),
        ("order", 54, "ORDER BY w.priority DESC, w.run_at, w.id", "ORDER BY w.priority, w.run_at, w.id"),
        ("after", 54, " AND target > %(after)s::text\n", "\n"),
    ),
    *mutants_of(
        "target-set",
        "flow_app/targets.py",
        f"{_ENGINE}/test_targets.py",
        ("pass", 54, '    SchedulerPass.objects.select_for_update().get(name="assign")\n', ""),
        ("count", 54, "            stamp_limited(target=host)\n", ""),
        ("ends", 54, '{} if rules.respect_retry_after else {"backing_off_until": None}', "{}"),
    ),
    *mutants_of(
        "back-off",
        "flow_app/backing_off.py",
        f"{_ENGINE}/test_targets.py",
        ("hour", 54, "min(seconds, LONGEST.total_seconds())", "seconds"),
        (
            "back",
            54,
            "            for host in hosts:\n                hand",
            "            for host in []:\n                hand",
        ),
        ("longest", 54, ", longest.get(host, 0.0))", ", 0.0)"),
        ("waits", 54, "    except psycopg.errors.LockNotAvailable:\n", "    except ZeroDivisionError:\n"),
    ),
    *mutants_of(
        "back-off-rules",
        f"{_FLOW}/back_off_targets.sql",
        f"{_ENGINE}/test_targets.py",
        ("never-shorter", 54, " OR g.backing_off_until < now() + make_interval(secs => asked.seconds))", " OR true)"),
    ),
    *mutants_of(
        "limit-set",
        "flow_app/queues.py",
        f"{_ENGINE}/test_limits.py",
        (
            "pass",
            51,
            '        SchedulerPass.objects.select_for_update().get(name="assign")\n        before = queue_of',
            "        before = queue_of",
        ),
        ("stamp", 51, "        stamp_limited(queue=after.name)\n", ""),
        (
            "lowered",
            51,
            '        hand_back_assigned(queue=after.name, actor=actor, reason="its queue was limited")',
            "        pass",
        ),
        ("version", 14, "versions is not None and before.version not in versions", "False"),
    ),
    *mutants_of(
        "queues-found",
        f"{_FLOW}/find_queues.sql",
        f"{_ENGINE}/test_figures.py",
        ("key", 25, "SELECT queue FROM keyed\n UNION\n", ""),
        ("gate", 25, "SELECT queue FROM gated\n UNION\n", ""),
    ),
    *mutants_of(
        "queues-measured",
        f"{_FLOW}/measure_queues.sql",
        f"{_ENGINE}/test_figures.py",
        (
            "due",
            25,
            "AND queue = p.queue AND priority = p.priority AND run_at <= now()",
            "AND queue = p.queue AND priority = p.priority",
        ),
        ("bound", 25, "             LIMIT %(limit)s) AS k) AS keyed", ") AS k) AS keyed"),
        ("capped", 25, "OR keyed.seen >= %(limit)s", ""),
    ),
    *mutants_of(
        "labels-match",
        "flow_app/matching.py",
        _LABELS,
        (
            "met",
            4,
            "[each for each in candidates if each.needs_id is None or each.needs_id in needs]",
            "list(candidates)",
        ),
        (
            "first",
            4,
            "_met(keys[name].firsts, needs)",
            "keys[name].firsts",
        ),
        ("breadth", 28, "queues, len(needs), needs].append", "queues, -len(needs), needs].append"),
    ),
    *mutants_of(
        "labels-lock",
        f"{_FLOW}/lock_labelled.sql",
        _LABELS,
        ("share", 28, "     LIMIT p.share\n", "     LIMIT 1000\n"),
        ("paused", 28, "   WHERE p.share > 0\n),\nmet", "),\nmet"),
        ("needs", 4, " t.needs_id = p.needs_id AND t.queue = p.queue", " t.queue = p.queue"),
        ("room", 8, "w.slots + w.prefetch - o.tasks", "w.slots + w.prefetch"),
    ),
    *mutants_of(
        "labels-survey",
        f"{_FLOW}/survey_labelled.sql",
        _LABELS,
        (
            "met",
            28,
            " WHERE EXISTS (SELECT FROM met m WHERE m.needs_id = p.needs_id AND",
            " WHERE true OR EXISTS (SELECT FROM met m WHERE m.needs_id = p.needs_id AND",
        ),
        ("live", 28, "m.state = 'ACTIVE' AND ", ""),
    ),
    *mutants_of(
        "labels-suspects",
        f"{_FLOW}/lock_suspects.sql",
        _LABELS,
        ("met", 18, "(t.needs_id IS NULL OR EXISTS (", "(true OR EXISTS ("),
    ),
    *mutants_of(
        "labels-stale",
        f"{_FLOW}/hand_back_assigned.sql",
        _LABELS,
        ("met", 28, "(t.needs_id IS NULL\n", "(true\n"),
    ),
    *mutants_of(
        "labels-needs",
        f"{_SQL}/delete_unused_needs.sql",
        _LABELS,
        ("used", 4, "WHERE n.used_at < now() - %(age)s::interval", "WHERE true"),
        ("skip", 4, "                 FOR UPDATE SKIP LOCKED)\n", ")\n"),
    ),
    *mutants_of(
        "labels-bound",
        f"{_SQL}/add_needs.sql",
        _LABELS,
        ("most", 28, "<= %(most)s::int\n", "<= %(most)s::int + 1\n"),
    ),
    *mutants_of(
        "labels-hint",
        "tasks_app/creating.py",
        _LABELS,
        ("pair", 25, "and not new.required_labels for", "for"),
    ),
    *mutants_of(
        "share",
        "flow_app/sharing.py",
        "unit/test_sharing.py",
        ("held", 28, "(sharer.held + number - 1) // weight", "(number - 1) // weight"),
        ("rotation", 28, "late = sharer.used > 0 and number > weight - sharer.used", "late = False"),
        ("ratio", 28, "return [each.weight // common for each in sharers]", "return [each.weight for each in sharers]"),
        ("visit", 28, "used + 1 if goes_on else 1)", "1)"),
        ("after", 28, "held=each.held + more[queue, each.tenant])", "held=each.held)"),
    ),
    *mutants_of(
        "turn",
        f"{_FLOW}/look_at_sharers.sql",
        f"{_ENGINE}/test_turns.py",
        ("held", 28, "coalesce(h.tasks, 0) AS held", "0 AS held"),
        ("paused", 4, "NOT EXISTS (SELECT FROM paused_queues p WHERE p.name = s.queue)\n     AND ", ""),
        ("anew", 28, "UNION ALL SELECT queue, tenant, n FROM anew", ""),
        ("used", 28, "CASE WHEN s.tenant = q.last THEN q.used ELSE 0 END AS used", "0 AS used"),
    ),
    *mutants_of(
        "turn",
        f"{_FLOW}/sort_in.sql",
        f"{_ENGINE}/test_turns.py",
        ("pass", 28, " AND current_setting('scheduler.pass', true) = 'held'", ""),
        ("newest", 28, "ORDER BY t.run_at DESC, t.id DESC", "ORDER BY t.run_at, t.id"),
        (
            "creator",
            28,
            "CASE f.fair_by WHEN 'createdBy' THEN t.created_by ELSE coalesce(t.fair_key, '') END",
            "t.fair_key",
        ),
    ),
    *mutants_of(
        "turn",
        f"{_FLOW}/sort_out.sql",
        f"{_ENGINE}/test_turns.py",
        ("left", 24, "UPDATE queues q SET has_turns = false", "UPDATE queues q SET has_turns = has_turns"),
        ("open", 24, "SET gate = 0, tenant = NULL", "SET tenant = NULL"),
    ),
    *mutants_of(
        "turn",
        "flow_app/turns.py",
        f"{_ENGINE}/test_turns.py",
        ("share", 51, "allot(line, _share_of(queue, workers))", "allot(line, 1000)"),
    ),
]
