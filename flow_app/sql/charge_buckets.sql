-- Charge the rates of queues and targets for tasks that this pass has just assigned: each of %(ids)s has a place in its bucket,
-- with the attempt it had, until it has started, and counts in full until then; when that was is read from the task itself.
-- Whose rates these are is said by %(kinds)s, which are ``queue`` or ``target``, and %(names)s, in the same places. Returns
-- nothing.
--
-- In the transaction of the pass: rolled back, nothing was charged. What has started since the last charge is settled on
-- the way (bucket_now).
WITH given AS MATERIALIZED (
  SELECT g.kind, g.name, array_agg(t.id) AS ids, array_agg(t.attempt) AS attempts
    FROM unnest(%(ids)b::uuid[], %(kinds)s::text[], %(names)s::text[]) AS g(id, kind, name)
    CROSS JOIN LATERAL (SELECT id, attempt FROM tasks WHERE id = g.id LIMIT 1) AS t
   GROUP BY g.kind, g.name
)
UPDATE buckets b
   SET full_at = r.full_at, task_ids = r.task_ids || g.ids, attempts = r.attempts || g.attempts
  FROM given g
  CROSS JOIN LATERAL (
    SELECT q.bucket_id, q.full_at, q.task_ids, q.attempts FROM rated_queues q WHERE g.kind = 'queue' AND q.name = g.name
    UNION ALL
    SELECT a.bucket_id, a.full_at, a.task_ids, a.attempts FROM rated_targets a WHERE g.kind = 'target' AND a.name = g.name) AS r
 WHERE b.id = r.bucket_id
