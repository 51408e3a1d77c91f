-- Add attempts that ended since the last time to metric_totals, so that counters are the same in every web process,
-- never go back, and survive restarts. At most %(most)s ids a call; whoever finds the mark locked leaves it alone.
--
-- Ids are given out before they are committed, so "greater than the last id" would skip rows. Each call, a transaction
-- of its own, notes the highest id it sees and its own transaction id; a later call, even right behind it, counts up to
-- the noted id once every transaction older than the noted one has ended. (Statements that write executions lock task
-- rows first, so they have their transaction id before their rows' ids; pg_snapshot_xmax would not do for the note,
-- because transactions above it may be under way.) A foreign transaction that stays open holds the counting up by a
-- minute at most: no statement that writes executions runs that long.
--
-- Late results are added to rows counted long ago: they are counted by their own time, ten seconds behind.
-- Indexes: the primary key of task_executions, executions_late.
WITH mark AS MATERIALIZED (
  SELECT name, counted_id, seen_id, late_at,
         to_char((now() - interval '10 seconds') AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS late_until,
         seen_xid <= pg_snapshot_xmin(pg_current_snapshot())::text::bigint OR seen_at < now() - interval '1 minute'
           AS is_settled
    FROM metric_marks
   WHERE name = 'executions'
     FOR NO KEY UPDATE SKIP LOCKED
),
part AS MATERIALIZED (
  SELECT counted_id AS low, least(counted_id + %(most)s, CASE WHEN is_settled THEN seen_id ELSE counted_id END) AS high
    FROM mark
),
ended AS MATERIALIZED (
  SELECT x.type, x.status, x.task_status,
         greatest(extract(epoch FROM x.finished_at - x.started_at)::float8, 0) AS duration,
         greatest(extract(epoch FROM x.started_at - x.due_at)::float8, 0) AS start_delay
    FROM part
    CROSS JOIN LATERAL (
      SELECT type, status, task_status, due_at, started_at, finished_at
        FROM task_executions
       WHERE id > part.low AND id <= part.high
       ORDER BY id) AS x
),
counted AS (
  SELECT 'attempts' AS metric, type, status, task_status, 'Infinity'::float8 AS le, count(*) AS n, 0::float8 AS seconds
    FROM ended
   GROUP BY type, status, task_status
  UNION ALL
  -- width_bucket of the negated value counts the bounds that are not below it; the smallest of them is the bucket.
  SELECT 'duration', type, '', '',
         (%(bounds)s::float8[])[%(buckets)s + 1 - width_bucket(-duration, %(negated)s::float8[])],
         count(*), sum(duration)
    FROM ended
   WHERE status NOT IN ('LOST', 'RELEASED')
   GROUP BY 2, 5
  UNION ALL
  SELECT 'start_delay', type, '', '',
         (%(bounds)s::float8[])[%(buckets)s + 1 - width_bucket(-start_delay, %(negated)s::float8[])],
         count(*), sum(start_delay)
    FROM ended
   GROUP BY 2, 5
  UNION ALL
  SELECT 'late', x.type, '', '', 'Infinity', count(*), 0
    FROM mark
    CROSS JOIN LATERAL (
      SELECT type FROM task_executions
       WHERE late IS NOT NULL AND late ->> 'at' > mark.late_at AND late ->> 'at' <= mark.late_until) AS x
   GROUP BY x.type
),
added AS (
  INSERT INTO metric_totals AS t (metric, type, status, task_status, le, n, seconds)
  SELECT metric, type, status, task_status, le, n, seconds FROM counted
  ON CONFLICT (metric, type, status, task_status, le)
     DO UPDATE SET n = t.n + excluded.n, seconds = t.seconds + excluded.seconds
)
UPDATE metric_marks m
   SET counted_id = part.high,
       -- The note stays until it is settled: renewed at every call, it would never grow old.
       seen_id = CASE WHEN is_settled THEN greatest(part.high, (SELECT max(id) FROM task_executions))
                      ELSE m.seen_id END,
       seen_xid = CASE WHEN is_settled THEN pg_current_xact_id()::text::bigint ELSE m.seen_xid END,
       seen_at = CASE WHEN is_settled THEN now() ELSE m.seen_at END,
       late_at = greatest(mark.late_at, mark.late_until)
  FROM mark, part
 WHERE m.name = mark.name
