"""Mutants of rates: how many tokens there are, what is charged, what a change of the rule does."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

_TESTS: Final = "integration/engine/test_rates.py"
_KEYS: Final = "integration/engine/test_rates_of_keys.py integration/engine/test_key_buckets.py"
_TARGETS: Final = "integration/engine/test_rates_of_targets.py"

RATES: Final[list[Mutant]] = [
    *mutants_of(
        "rate",
        "flow_app/rates.py",
        "property/test_rates.py",
        ("tokens", 52, "self.rate.capacity * self.rate.micros - missing", "self.rate.capacity * self.rate.micros"),
        ("burst", 52, "return self.burst + 1", "return self.burst + 2"),
        ("late", 52, "max(self.full_at, now) + self.rate.span(tokens)", "self.full_at + self.rate.span(tokens)"),
        ("new", 52, "return Bucket(rate, now + rate.tolerance)", "return Bucket(rate, now)"),
        ("settled", 52, "min(self.full_at, now + self.rate.span(self.rate.capacity))", "self.full_at"),
    ),
    *mutants_of(
        "rate",
        "flow_app/migrations/0001_initial.py",
        _TESTS,
        ("unstarted", 52, " - cardinality(u.task_ids))", ")"),
        ("returned", 52, "coalesce(bool_or(attempt > g.attempt), true) AS began", "true AS began"),
        (
            "gone",
            52,
            "coalesce(bool_or(attempt > g.attempt), true) AS began",
            "coalesce(bool_or(attempt > g.attempt), false) AS began",
        ),
        ("began", 52, "greatest(row_full_at, u.last_began)", "row_full_at"),
        (
            "empty",
            52,
            "                 now() + rate_span(burst + 1, most, period)) AS full_at) AS f",
            "                 now()) AS full_at) AS f",
        ),
    ),
    *mutants_of(
        "rate-room",
        "flow_app/sql/count_room.sql",
        _TESTS,
        ("share", 52, "(r.room ->> p.queue)::int)", "NULL)"),
        ("suspects", 52, "r.name = ANY(%(queues)s::text[]) OR %(suspects)s", "r.name = ANY(%(queues)s::text[])"),
    ),
    *mutants_of(
        "rate-pass",
        "flow_app/sql/charge_buckets.sql",
        _TESTS,
        ("charge", 52, "r.task_ids || g.ids", "r.task_ids"),
        ("settle", 52, "SET full_at = r.full_at, ", "SET "),
    ),
    *mutants_of(
        "rate-rule",
        "flow_app/buckets.py",
        _TESTS,
        ("keep", 52, "State(before, row.full_at).under(after, now).full_at", "new_bucket(after, now).full_at"),
    ),
    *mutants_of(
        "rate-target",
        "flow_app/sql/charge_target_buckets.sql",
        _TARGETS,
        ("charge", 52, "r.task_ids || g.ids", "r.task_ids"),
    ),
    *mutants_of(
        "rate-target",
        "flow_app/sql/look_at_targets.sql",
        _TARGETS,
        ("none", 52, "            WHEN g.max_concurrency IS NOT NULL\n            THEN", "            ELSE"),
    ),
    *mutants_of(
        "rate-target",
        "flow_app/sql/open_targets.sql",
        _TARGETS,
        ("tokens", 52, "least(1000, r.tokens, ", "least(1000, "),
        ("next", 52, "ELSE r.next_at END", "ELSE NULL END"),
    ),
    *mutants_of(
        "rate-target",
        "flow_app/budgets.py",
        _TARGETS,
        ("kind", 52, '{"rate", "target rate", "key rate"}', '{"rate", "key rate"}'),
    ),
    *mutants_of(
        "rate-target",
        "flow_app/opening.py",
        _TARGETS,
        ("heir", 52, "self._outlook.gated |= found.hosts > 0", "pass"),
    ),
    *mutants_of(
        "rate-target",
        "flow_app/buckets.py",
        _TARGETS,
        ("hold", 52, "    hold_tokens(kind, name)\n", ""),
    ),
    *mutants_of(
        "rate-key",
        "flow_app/migrations/0001_initial.py",
        _KEYS,
        ("schedules", 52, " AND NOT starts_with(of_key, 'schedule:')", ""),
        (
            "new",
            52,
            "b.full_at, q.key_rate_since + interval '1 microsecond'",
            "b.full_at, q.key_rate_since - interval '1 day' + interval '1 microsecond'",
        ),
    ),
    *mutants_of(
        "rate-key",
        "tasks_app/migrations/0001_initial.py",
        _KEYS,
        ("trigger", 52, "AND gate IN (1, 4)\n                ORDER BY", "AND gate = 1\n                ORDER BY"),
        ("waits", 52, "AND gate IN (1, 4)) THEN", "AND gate = 1) THEN"),
        ("aside", 52, "NEW.gate IN (2, 3, 5, 7)", "NEW.gate BETWEEN 2 AND 7"),
    ),
    *mutants_of(
        "rate-key",
        "flow_app/sql/charge_key_buckets.sql",
        _KEYS,
        ("charge", 52, "r.task_ids || g.ids", "r.task_ids"),
        ("look", 52, ", opens_at = excluded.opens_at", ""),
    ),
    *mutants_of(
        "rate-key",
        "flow_app/sql/park_behind_rates.sql",
        _KEYS,
        ("ahead", 52, "   WHERE w.concurrency_key IS NOT NULL\n", "   WHERE false\n"),
        ("told", 52, "DO UPDATE SET opens_at = excluded.opens_at", "DO NOTHING"),
    ),
    *mutants_of(
        "rate-key",
        "flow_app/sql/open_keys.sql",
        _KEYS,
        ("tokens", 52, "           <= least(r.tokens, r.slots) AS", "           <= r.slots AS"),
        ("slots", 52, "           <= least(r.tokens, r.slots) AS", "           <= r.tokens AS"),
        ("next", 52, "WHEN r.tokens = 0 THEN r.next_at\n", "WHEN r.tokens = 0 THEN NULL\n"),
        ("again", 52, "THEN now() + interval '100 milliseconds' END", "THEN NULL END"),
        ("freed", 52, "UNION ALL SELECT id FROM freed", ""),
    ),
    *mutants_of(
        "rate-key",
        "flow_app/sql/sweep_key_buckets.sql",
        _KEYS,
        ("full", 52, "r.full_at <= now() AND r.task_ids = '{}' AS", "true AS"),
        ("compare", 52, " AND b.full_at = n.full_at AND b.task_ids = n.task_ids", ""),
    ),
    *mutants_of(
        "rate-key",
        "flow_app/sql/release_idle_keys.sql",
        _KEYS,
        ("sweep", 52, "WHERE head.gate IN (1, 4)", "WHERE head.gate = 1"),
    ),
    *mutants_of(
        "rate-key",
        "flow_app/key_buckets.py",
        _KEYS,
        ("hold", 52, "        hold_key_tokens(after.name)\n", ""),
        ("heir", 52, "self._outlook.awaits_tokens |= found.opens", "pass"),
    ),
    *mutants_of(
        "rate-mend",
        "flow_app/sql/mend_buckets.sql",
        _TESTS,
        ("pass", 52, "WHERE bucket_id IS NULL AND EXISTS (SELECT FROM held)", "WHERE bucket_id IS NULL"),
        ("settle", 52, "SET full_at = least(b.full_at, d.empty_until)", "SET full_at = b.full_at"),
    ),
    *mutants_of(
        "rate-thaw",
        "flow_app/sql/end_thaws.sql",
        _TESTS,
        ("unstarted", 52, "AND cardinality(r.task_ids) > 0)", "AND false)"),
        ("paused", 52, "WHERE p.name = q.name)", "WHERE false)"),
        ("suspects", 52, "t.crash_count > 0\n", "t.crash_count > 9\n"),
    ),
]
