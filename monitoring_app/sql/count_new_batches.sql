-- Add batches that were done since the last time to metric_totals, by how they ended. They have no numbers that rise with their ends,
-- so they are counted by the time of these, a minute behind, as late results are in count_new_executions.sql: no round that ends
-- batches runs that long. At most %(most)s a call, and those that ended in the same instant as the last of them. One that a retry
-- has opened again within that minute is counted when it is done the next time. Index: batches_ended.
-- The first call notes the time from which on it counts. Whoever finds the mark locked leaves it alone.
WITH mark AS MATERIALIZED (
  SELECT name, nullif(late_at, '')::timestamptz AS low, now() - interval '1 minute' AS settled
    FROM metric_marks
   WHERE name = 'batches'
     FOR NO KEY UPDATE SKIP LOCKED
),
part AS MATERIALIZED (
  SELECT low, coalesce((SELECT max(finished_at)
                          FROM (SELECT finished_at FROM batches
                                 WHERE finished_at > '-infinity' AND finished_at > mark.low AND finished_at <= mark.settled
                                 ORDER BY finished_at
                                 LIMIT %(most)s) AS first), settled) AS high
    FROM mark
),
counted AS (
  SELECT b.status, count(*) AS n
    FROM part
    JOIN batches b ON b.finished_at > '-infinity' AND b.finished_at > part.low AND b.finished_at <= part.high
   GROUP BY b.status
),
added AS (
  INSERT INTO metric_totals AS t (metric, type, status, task_status, le, n, seconds)
  SELECT 'batches', '', status, '', 'Infinity', n, 0 FROM counted
  ON CONFLICT (metric, type, status, task_status, le)
     DO UPDATE SET n = t.n + excluded.n
)
UPDATE metric_marks m
   SET late_at = to_char(greatest(part.low, part.high) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
  FROM part
 WHERE m.name = 'batches'
