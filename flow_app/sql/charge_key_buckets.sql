-- Charge the rates of concurrency keys for tasks that this pass has just assigned: what charge_buckets.sql does for queues.
-- %(queues)s and %(keys)s say whose keys the tasks %(ids)s have, in the same places. A key that has no bucket gets one. Returns
-- nothing.
--
-- Each is looked at by open_keys.sql next: there may be tokens left, for others that wait.
WITH given AS MATERIALIZED (
  SELECT g.queue, g.key, array_agg(t.id) AS ids, array_agg(t.attempt) AS attempts
    FROM unnest(%(ids)b::uuid[], %(queues)s::text[], %(keys)s::text[]) AS g(id, queue, key)
    CROSS JOIN LATERAL (SELECT id, attempt FROM tasks WHERE id = g.id LIMIT 1) AS t
   GROUP BY g.queue, g.key
)
INSERT INTO key_buckets (queue, key, full_at, task_ids, attempts, opens_at)
SELECT g.queue, g.key, r.full_at, r.task_ids || g.ids, r.attempts || g.attempts, now()
  FROM given g
  CROSS JOIN LATERAL rated_key(g.queue, g.key) AS r
    ON CONFLICT (queue, key) DO UPDATE
   SET full_at = excluded.full_at, task_ids = excluded.task_ids, attempts = excluded.attempts, opens_at = excluded.opens_at
