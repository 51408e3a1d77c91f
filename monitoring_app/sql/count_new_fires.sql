-- Add decided slots of schedules to metric_totals, as count_new_executions.sql does with attempts, whose header says how:
-- ids are given out before they are committed, so each call counts up to where an earlier one saw the ledger end, once
-- whatever was under way then has ended. Index: the primary key of schedule_fires.
WITH mark AS MATERIALIZED (
  SELECT name, counted_id, seen_id,
         seen_xid <= pg_snapshot_xmin(pg_current_snapshot())::text::bigint OR seen_at < now() - interval '1 minute'
           AS is_settled
    FROM metric_marks
   WHERE name = 'fires'
     FOR NO KEY UPDATE SKIP LOCKED
),
part AS MATERIALIZED (
  SELECT counted_id AS low, least(counted_id + %(most)s, CASE WHEN is_settled THEN seen_id ELSE counted_id END) AS high
    FROM mark
),
decided AS MATERIALIZED (
  SELECT f.state, greatest(extract(epoch FROM f.decided_at - f.due_at)::float8, 0) AS lateness
    FROM part
    CROSS JOIN LATERAL (
      SELECT state, due_at, decided_at FROM schedule_fires WHERE id > part.low AND id <= part.high ORDER BY id) AS f
),
counted AS (
  SELECT 'fires' AS metric, '' AS type, state AS status, 'Infinity'::float8 AS le, count(*) AS n, 0::float8 AS seconds
    FROM decided
   GROUP BY state
  UNION ALL
  SELECT 'lateness', state, '',
         (%(bounds)s::float8[])[%(buckets)s + 1 - width_bucket(-lateness, %(negated)s::float8[])],
         count(*), sum(lateness)
    FROM decided
   WHERE state IN ('FIRED', 'LATE')
   GROUP BY 2, 4
),
added AS (
  INSERT INTO metric_totals AS t (metric, type, status, task_status, le, n, seconds)
  SELECT metric, type, status, '', le, n, seconds FROM counted
  ON CONFLICT (metric, type, status, task_status, le)
     DO UPDATE SET n = t.n + excluded.n, seconds = t.seconds + excluded.seconds
)
UPDATE metric_marks m
   SET counted_id = part.high,
       seen_id = CASE WHEN is_settled THEN greatest(part.high, (SELECT max(id) FROM schedule_fires)) ELSE m.seen_id END,
       seen_xid = CASE WHEN is_settled THEN pg_current_xact_id()::text::bigint ELSE m.seen_xid END,
       seen_at = CASE WHEN is_settled THEN now() ELSE m.seen_at END
  FROM mark, part
 WHERE m.name = mark.name
