-- What charge_buckets.sql does for queues, for the rates of targets: %(hosts)s are the hosts that the tasks %(ids)s call, in the
-- same places. Returns nothing.
WITH given AS MATERIALIZED (
  SELECT g.host, array_agg(t.id) AS ids, array_agg(t.attempt) AS attempts
    FROM unnest(%(ids)b::uuid[], %(hosts)s::text[]) AS g(id, host)
    CROSS JOIN LATERAL (SELECT id, attempt FROM tasks WHERE id = g.id LIMIT 1) AS t
   GROUP BY g.host
)
UPDATE buckets b
   SET full_at = r.full_at, task_ids = r.task_ids || g.ids, attempts = r.attempts || g.attempts
  FROM given g JOIN rated_targets r ON r.name = g.host
 WHERE b.id = r.bucket_id
