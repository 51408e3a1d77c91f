-- Lock the first due tasks of each of the given (queue, priority) pairs, as many as count_room.sql, which runs right before
-- it, left room for. Never waits for a task's lock: whatever is locked is left for the next pass.
--
-- A pair is read from %(from)s and %(ids)s on (``outlook``); heads it begins behind are %(locked)s.
-- Index: tasks_due per pair. MATERIALIZED, because a nested-loop plan may run a LIMIT … FOR UPDATE once per row.
WITH places AS MATERIALIZED (
  SELECT p.queue, p.priority, p.run_at, p.id, p.share
    FROM unnest(%(queues)s::text[], %(priorities)s::int[], %(from)s::text[]::timestamptz[], %(ids)s::uuid[],
                nullif(current_setting('scheduler.shares', true), '')::int[])
         AS p(queue, priority, run_at, id, share)
   WHERE p.share > 0
)
-- Locked while it is scanned: rows that somebody else holds are passed over, and those behind them take their place.
SELECT d.id AS task_id, p.queue, p.priority, d.run_at, d.concurrency_key, false AS suspect,
       d.target, NULL::int AS needs_id, 1 AS slots, 0::float8 AS waited
  FROM places p
  CROSS JOIN LATERAL (
    SELECT t.id, t.run_at, t.concurrency_key, (SELECT g.host FROM targets g WHERE g.host = t.target) AS target
      FROM tasks t
     WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 0 AND t.crash_count = 0 AND t.needs_id IS NULL
       AND t.queue = p.queue AND t.priority = p.priority AND t.run_at <= now()
       AND (t.run_at, t.id) >= (p.run_at, p.id)
       AND (t.expires_at IS NULL OR t.expires_at > now())
     ORDER BY t.run_at, t.id
     LIMIT p.share
       FOR NO KEY UPDATE SKIP LOCKED) AS d
UNION ALL
-- Heads that passes begin behind, because somebody had locked them. By status, which is in no index: asked for what
-- tasks_due is about, the planner of PostgreSQL 15 would walk over all that waits.
SELECT d.id, d.queue, d.priority, d.run_at, d.concurrency_key, false, d.target, NULL, 1, 0
  FROM (
    SELECT t.id, t.queue, t.priority, t.run_at, t.concurrency_key,
           (SELECT g.host FROM targets g WHERE g.host = t.target) AS target
      FROM tasks t
     WHERE t.id = ANY(%(locked)s::uuid[])
       AND t.status = 'PENDING' AND t.gate = 0 AND t.crash_count = 0 AND t.needs_id IS NULL
       AND t.run_at <= now() AND (t.expires_at IS NULL OR t.expires_at > now())
       AND EXISTS (SELECT FROM places p WHERE p.queue = t.queue AND p.priority = t.priority)
       FOR NO KEY UPDATE OF t SKIP LOCKED) AS d
