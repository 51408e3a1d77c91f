-- Who holds each of the given concurrency keys, or else which task is the first of it: parked or not, so that a newcomer
-- never overtakes. What waits behind any other gate than that of its key is in nobody's way. A first task that somebody else
-- has locked, or that changed meanwhile, is left for the next pass.
--
-- Indexes: tasks_key_held, tasks_key_waiting.
WITH keys AS MATERIALIZED (
  SELECT k.queue, k.concurrency_key, holder.id AS holder
    FROM unnest(%(queues)s::text[], %(keys)s::text[]) AS k(queue, concurrency_key)
    LEFT JOIN LATERAL (
      SELECT h.id FROM tasks h
       WHERE h.queue = k.queue AND h.concurrency_key = k.concurrency_key
         AND h.worker_id IS NOT NULL AND h.finished_at IS NULL
       LIMIT 1) AS holder ON true
),
firsts AS MATERIALIZED (
  SELECT k.queue, k.concurrency_key, h.id
    FROM keys k
    CROSS JOIN LATERAL (
      SELECT t.id
        FROM tasks t
       WHERE t.queue = k.queue AND t.concurrency_key = k.concurrency_key
         AND t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate IN (0, 1, 6)
         AND t.run_at <= now() AND (t.expires_at IS NULL OR t.expires_at > now())
       ORDER BY t.priority DESC, t.run_at, t.id
       LIMIT 1) AS h
   WHERE k.holder IS NULL
),
heads AS MATERIALIZED (
  SELECT t.id, t.queue, t.concurrency_key, t.priority, t.run_at, t.crash_count > 0 AS suspect,
         (SELECT g.host FROM targets g WHERE g.host = t.target) AS target
    FROM firsts f
    JOIN tasks t ON t.id = f.id AND t.queue = f.queue
   WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate IN (0, 1, 6) AND t.run_at <= now()
     FOR NO KEY UPDATE OF t SKIP LOCKED
)
SELECT k.queue, k.concurrency_key, k.holder, h.id AS first, h.priority, h.run_at, h.suspect, h.target
  FROM keys k
  LEFT JOIN heads h ON h.queue = k.queue AND h.concurrency_key = k.concurrency_key
