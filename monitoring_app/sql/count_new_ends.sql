-- Add tasks that ended while they waited (cancelled, or past their expiresAt) to metric_totals: they have no attempt that
-- count_new_executions.sql could count. Every such end writes one event, with the status it left and the one it came to;
-- ends of running tasks have an execution, and are left out here. The mark works as described there: the statements that
-- write these events lock the task first, so they have their transaction id before their rows' ids.
-- Indexes: the primary keys of audit_events and tasks.
WITH mark AS MATERIALIZED (
  SELECT name, counted_id, seen_id,
         seen_xid <= pg_snapshot_xmin(pg_current_snapshot())::text::bigint OR seen_at < now() - interval '1 minute'
           AS is_settled
    FROM metric_marks
   WHERE name = 'ends'
     FOR NO KEY UPDATE SKIP LOCKED
),
part AS MATERIALIZED (
  SELECT counted_id AS low, least(counted_id + %(most)s, CASE WHEN is_settled THEN seen_id ELSE counted_id END) AS high
    FROM mark
),
ended AS MATERIALIZED (
  SELECT coalesce(t.type, '') AS type, a.to_status
    FROM part
    CROSS JOIN LATERAL (
      SELECT task_id, from_status, to_status FROM audit_events WHERE id > part.low AND id <= part.high ORDER BY id) AS a
    LEFT JOIN tasks t ON t.id = a.task_id
   WHERE a.from_status IN ('PENDING', 'SCHEDULED') AND a.to_status IN ('FAILED', 'CANCELLED')
),
added AS (
  INSERT INTO metric_totals AS t (metric, type, status, task_status, le, n, seconds)
  SELECT 'ends', type, '', to_status, 'Infinity'::float8, count(*), 0::float8 FROM ended GROUP BY type, to_status
  ON CONFLICT (metric, type, status, task_status, le) DO UPDATE SET n = t.n + excluded.n
)
UPDATE metric_marks m
   SET counted_id = part.high,
       seen_id = CASE WHEN is_settled THEN greatest(part.high, (SELECT max(id) FROM audit_events)) ELSE m.seen_id END,
       seen_xid = CASE WHEN is_settled THEN pg_current_xact_id()::text::bigint ELSE m.seen_xid END,
       seen_at = CASE WHEN is_settled THEN now() ELSE m.seen_at END
  FROM mark, part
 WHERE m.name = mark.name
