"""Mutants of the roll-up of minutes, what is counted when, once and under which name, and of lists as files."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutants_of

MINUTES: Final[list[Mutant]] = [
    *mutants_of(
        "minutes-roll-up",
        "monitoring_app/sql/roll_up_minutes.sql",
        "integration/test_minutes.py property/test_minutes.py",
        ("settled", 67, "seen_xid <= pg_snapshot_xmin(pg_current_snapshot())::text::bigint", "true"),
        ("locked", 67, "     FOR NO KEY UPDATE SKIP LOCKED\n", ""),
        ("idle", 67, " AND counted_id < (SELECT max(id) FROM task_executions)", ""),
        ("note", 67, "CASE WHEN is_done THEN greatest", "CASE WHEN true THEN greatest"),
        ("added", 67, "success = m.success + excluded.success", "success = excluded.success"),
        ("merged", 67, "UNION ALL SELECT * FROM jsonb_each_text(excluded.duration)", ""),
        ("queues", 67, "f.place <= %(most_queues)s - (SELECT count(*) FROM known k WHERE k.hour = f.hour)", "true"),
        ("kept", 67, "x.finished_at >= now() - %(kept)s::interval", "true"),
    ),
    *mutants_of(
        "minutes-sample",
        "monitoring_app/sql/sample_minute.sql",
        "integration/test_minutes.py::TestSampleMinute",
        ("locked", 67, "FOR NO KEY UPDATE SKIP LOCKED", ""),
        ("highest", 67, "greatest(m.waiting, excluded.waiting)", "excluded.waiting"),
        ("queues", 67, "greatest(0, %(most_queues)s - (SELECT count(*) FROM known))", "1000"),
    ),
    *mutants_of(
        "minutes-chore",
        "monitoring_app/minutes.py",
        "integration/test_minutes.py",
        ("once", 67, "if session.fetch(_SEEN):", "if False:"),
        (
            "old",
            66,
            "while delete_old_minutes(session) == BATCH:",
            "while delete_old_minutes(session, limit=1) == 2:",
        ),
    ),
    *mutants_of(
        "exports",
        "access_app/exports.py",
        "unit/test_exports.py integration/test_exports.py",
        ("formula", 41, """return f"'{text}" if text.startswith(_FORMULA) else text""", "return text"),
        ("most", 41, "if len(keys) > MOST_ROWS:", "if False:"),
        ("places", 41, "if not _places.acquire(blocking=False):", "if not True:"),
        ("closed", 41, "close, self._close = self._close, lambda: None", "close = self._close"),
        ("gone", 41, "[found[key] for key in page if key in found]", "list(found.values())"),
        ("audit", 42, "        audit.record(actor, f", "        (lambda *a, **k: None)(actor, f"),
    ),
    *mutants_of(
        "exports-pages",
        "access_app/staff/exporting.py",
        "integration/test_exports.py::TestPages",
        ("permission", 36, "if not self.may_export(request):", "if False:"),
        ("filters", 60, 'if getattr(found, "problems", ()):', "if False:"),
        ("secrets", 40, "masked(item, MASK) for item", "item for item"),
        ("large", 41, ".defer(*self.export_defers)", ""),
    ),
    *mutants_of(
        "histograms",
        "monitoring_app/histograms.py",
        "unit/test_histograms.py",
        ("rank", 67, "if seen >= rank:", "if seen > rank:"),
        ("middle", 67, "sqrt(BOUNDS[bucket - 1] * BOUNDS[min(bucket, len(BOUNDS) - 1)])", "BOUNDS[bucket - 1]"),
    ),
    *mutants_of(
        "batch-metrics",
        "monitoring_app/sql/count_new_batches.sql",
        "integration/test_workflow_metrics.py",
        ("once", 35, " AND b.finished_at > part.low", ""),
        ("settled", 35, "now() - interval '1 minute' AS settled", "now() AS settled"),
        ("some", 35, "LIMIT %(most)s) AS first), settled)", ") AS first), settled)"),
    ),
]
