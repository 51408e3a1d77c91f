-- Charge the rates of queues for tasks that this pass has just assigned: each of %(ids)s has a place in its bucket, with
-- the attempt it had, until it has started, and counts in full until then; when that was is read from the task itself.
-- %(queues)s are their queues, in the same places. Returns nothing.
--
-- In the transaction of the pass: rolled back, nothing was charged. What has started since the last charge is settled on
-- the way (bucket_now).
WITH given AS MATERIALIZED (
  SELECT g.queue, array_agg(t.id) AS ids, array_agg(t.attempt) AS attempts
    FROM unnest(%(ids)b::uuid[], %(queues)s::text[]) AS g(id, queue)
    CROSS JOIN LATERAL (SELECT id, attempt FROM tasks WHERE id = g.id LIMIT 1) AS t
   GROUP BY g.queue
)
UPDATE buckets b
   SET full_at = r.full_at, task_ids = r.task_ids || g.ids, attempts = r.attempts || g.attempts
  FROM given g JOIN rated_queues r ON r.name = g.queue
 WHERE b.id = r.bucket_id
