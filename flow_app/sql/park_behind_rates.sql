-- Take what waits for a token of its concurrency key out of the index of due tasks: %(ids)s, which this pass has locked, whose
-- keys are %(keys)s of the queues %(key_queues)s; and what lies behind them in the same pairs (%(queues)s, %(priorities)s, from
-- %(from)s on) and has one of these keys, or another one without a token. Returns how many were parked.
--
-- A look ahead along the due tasks, as for targets, and not along each key, whose parked tasks it would meet each time:
-- behind the few that a pass locks, there may be thousands of other keys that are empty, too. Those that have a token have
-- no bucket, as a rule, and cost a look for it. The buckets are looked at by open_keys.sql when there is a token.
-- Indexes: tasks_due, key_buckets_of. MATERIALIZED, so that no plan locks more than it parks.
WITH ahead AS MATERIALIZED (
  SELECT w.id, p.queue, w.concurrency_key AS key
    FROM unnest(%(queues)s::text[], %(priorities)s::int[], %(from)s::timestamptz[]) AS p(queue, priority, run_at)
    CROSS JOIN LATERAL (
      SELECT t.id, t.concurrency_key FROM tasks t
       WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 0 AND t.crash_count = 0 AND t.needs_id IS NULL
         AND t.queue = p.queue AND t.priority = p.priority AND t.run_at >= p.run_at AND t.run_at <= now()
       ORDER BY t.run_at, t.id
       LIMIT 1000) AS w
   WHERE w.concurrency_key IS NOT NULL
),
empty AS MATERIALIZED (
  SELECT e.queue, e.key FROM unnest(%(key_queues)s::text[], %(keys)s::text[]) AS e(queue, key)
  UNION
  SELECT k.queue, k.key
    FROM (SELECT DISTINCT queue, key FROM ahead) AS k
    JOIN key_buckets b ON b.queue = k.queue AND b.key = k.key
    CROSS JOIN LATERAL rated_key(k.queue, k.key) AS r
   WHERE r.tokens = 0
),
to_park AS MATERIALIZED (
  -- By status, which is in no index: asked for its worker, the planner would walk over all that waits. IS TRUE, so that the
  -- keys are looked up by their hash: sessions of the engine have no hash joins, and a nested loop compares each with each.
  SELECT t.id FROM tasks t
   WHERE t.id = ANY(%(ids)s::uuid[]
                    || ARRAY(SELECT a.id FROM ahead a
                              WHERE ((a.queue, a.key) IN (SELECT e.queue, e.key FROM empty e)) IS TRUE))
     AND t.status = 'PENDING' AND t.gate IN (0, 6)
     FOR NO KEY UPDATE SKIP LOCKED
),
parked AS (UPDATE tasks t SET gate = 4 FROM to_park p WHERE t.id = p.id RETURNING t.id),
told AS (
  INSERT INTO key_buckets (queue, key, full_at, opens_at)
  SELECT e.queue, e.key, r.full_at, coalesce(r.next_at, now())
    FROM empty e CROSS JOIN LATERAL rated_key(e.queue, e.key) AS r
   WHERE EXISTS (SELECT FROM to_park)
      ON CONFLICT (queue, key) DO UPDATE SET opens_at = excluded.opens_at
)
SELECT count(*)::int FROM parked
