-- Take what waits for a concurrency key out of the index of due tasks: the keys that are full with what this pass has given
-- (%(queues)s, %(keys)s), each with how many others hold it (%(held)s); these are %(holders)s. Or the rest of a key is kept
-- for those that come first and wait for a worker of their own, %(kept)s, locked by this pass: they stay in sight. Returns how
-- many were parked.
--
-- Parking is exact only while no holder can end unseen: lock all of a key, or leave the key for the next pass. By their
-- status, which is in no index: asked for their worker, the planner would walk over all that workers own.
-- Index: tasks_key_waiting. MATERIALIZED, so that no plan locks more than it parks.
WITH held AS MATERIALIZED (
  SELECT h.queue, h.concurrency_key
    FROM tasks h
   WHERE h.id = ANY(%(holders)s::uuid[]) AND h.status IN ('SCHEDULED', 'RUNNING')
     FOR SHARE SKIP LOCKED
),
full_keys AS MATERIALIZED (
  SELECT k.queue, k.concurrency_key
    FROM unnest(%(queues)b::text[], %(keys)b::text[], %(held)b::int[]) AS k(queue, concurrency_key, held)
    LEFT JOIN (SELECT queue, concurrency_key, count(*) AS n FROM held GROUP BY queue, concurrency_key) AS h
           ON h.queue = k.queue AND h.concurrency_key = k.concurrency_key
   WHERE k.held = coalesce(h.n, 0)
),
to_park AS MATERIALIZED (
  SELECT t.id
    FROM full_keys k
    CROSS JOIN LATERAL (
      SELECT w.id FROM tasks w
       WHERE w.queue = k.queue AND w.concurrency_key = k.concurrency_key
         AND w.worker_id IS NULL AND w.finished_at IS NULL AND w.gate IN (0, 6) AND w.run_at <= now()
         AND w.id <> ALL (%(kept)s::uuid[])
       ORDER BY w.priority DESC, w.run_at, w.id
       LIMIT 5000) AS waiting
    JOIN tasks t ON t.id = waiting.id
   WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.queue = k.queue
     FOR NO KEY UPDATE OF t SKIP LOCKED
),
seen AS (
  UPDATE tasks SET gate = 0 WHERE id = ANY(%(kept)s::uuid[]) AND gate = 1
),
parked AS (
  UPDATE tasks t SET gate = 1 FROM to_park p WHERE t.id = p.id RETURNING t.id
)
SELECT count(*)::int FROM parked
