-- Take what waits for a token of its concurrency key out of the index of due tasks: %(ids)s, which this pass has locked, and
-- what lies behind them in the same pairs (%(queues)s, %(priorities)s, from %(from)s on) and has one of the keys
-- %(key_queues)s and %(keys)s, which have no token left. Returns how many were parked.
--
-- A look ahead along the due tasks, as for targets, and not along the key, whose parked tasks it would meet each time. The
-- buckets of the keys are looked at by open_keys.sql next, which knows when there is a token.
-- Index: tasks_due. MATERIALIZED, so that no plan locks more than it parks.
WITH empty AS MATERIALIZED (
  SELECT e.queue, e.key FROM unnest(%(key_queues)s::text[], %(keys)s::text[]) AS e(queue, key)
),
ahead AS MATERIALIZED (
  SELECT w.id
    FROM unnest(%(queues)s::text[], %(priorities)s::int[], %(from)s::timestamptz[]) AS p(queue, priority, run_at)
    CROSS JOIN LATERAL (
      SELECT t.id, t.concurrency_key FROM tasks t
       WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 0 AND t.crash_count = 0 AND t.needs_id IS NULL
         AND t.queue = p.queue AND t.priority = p.priority AND t.run_at >= p.run_at AND t.run_at <= now()
       ORDER BY t.run_at, t.id
       LIMIT 2000) AS w
    JOIN empty e ON e.queue = p.queue AND e.key = w.concurrency_key
),
to_park AS MATERIALIZED (
  -- By status, which is in no index: asked for its worker, the planner would walk over all that waits.
  SELECT t.id FROM tasks t
   WHERE t.id = ANY(%(ids)s::uuid[] || ARRAY(SELECT id FROM ahead)) AND t.status = 'PENDING' AND t.gate IN (0, 6)
     FOR NO KEY UPDATE SKIP LOCKED
),
parked AS (UPDATE tasks t SET gate = 4 FROM to_park p WHERE t.id = p.id RETURNING t.id),
told AS (
  INSERT INTO key_buckets (queue, key, full_at, opens_at)
  SELECT e.queue, e.key, r.full_at, now()
    FROM empty e CROSS JOIN LATERAL rated_key(e.queue, e.key) AS r
   WHERE EXISTS (SELECT FROM to_park)
      ON CONFLICT (queue, key) DO UPDATE SET opens_at = excluded.opens_at
)
SELECT count(*)::int FROM parked
