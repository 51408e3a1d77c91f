-- Keep how far the running task %(task_id)s is, in the place of what it has said before. What comes less than %(rest)s after
-- that is passed over, but for the first word that it is done, so that nobody writes faster than that.
-- %(attempt)s and %(started_at)s: only while that attempt runs; NULL: whichever does. The row is held while this is written, as in
-- hold_attempt.sql: of an attempt that is over nothing is kept. Returns the attempt, NULL when none runs, and when that was
-- kept, NULL when it was passed over. Index: the primary keys.
WITH running AS MATERIALIZED (
  SELECT id, attempt
    FROM tasks
   WHERE id = %(task_id)s AND status = 'RUNNING'
     AND (%(attempt)s::int IS NULL OR attempt = %(attempt)s)
     AND (%(started_at)s::timestamptz IS NULL OR started_at = %(started_at)s)
     FOR SHARE
),
kept AS (
  INSERT INTO task_progress AS p (task_id, attempt, percent, done, total, note, reported_at)
  SELECT id, attempt, %(percent)s, %(done)s, %(total)s, %(note)s, clock_timestamp() FROM running
      ON CONFLICT (task_id) DO UPDATE
     SET attempt = excluded.attempt, percent = excluded.percent, done = excluded.done, total = excluded.total,
         note = excluded.note, reported_at = excluded.reported_at
   WHERE p.attempt < excluded.attempt OR p.reported_at <= excluded.reported_at - %(rest)s::interval
      OR (excluded.percent = 100 AND p.percent IS DISTINCT FROM 100)
  RETURNING reported_at
)
SELECT (SELECT attempt FROM running) AS attempt, (SELECT reported_at FROM kept) AS reported_at
