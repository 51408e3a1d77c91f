-- Lock the first tasks that wait for the turns of tenants: %(tasks)s of each of %(tenants)s in %(queues)s. Never waits for
-- a task's lock: whatever is locked is left for the next pass. Runs in a transaction that has taken the pass.
--
-- Index: tasks_turns, which alone has this order: asked for one tenant, the planner may walk over those of all others in
-- tasks_gated. MATERIALIZED, because a nested-loop plan may run a LIMIT … FOR UPDATE once per row.
WITH turns AS MATERIALIZED (
  SELECT n.queue, n.tenant, n.tasks
    FROM unnest(%(queues)s::text[], %(tenants)s::text[], %(tasks)s::int[]) AS n(queue, tenant, tasks)
)
SELECT d.id AS task_id, n.queue, d.priority, d.run_at, d.concurrency_key, false AS suspect, d.target,
       NULL::int AS needs_id, 1 AS slots, 0::float8 AS waited, n.tenant
  FROM turns n
  CROSS JOIN LATERAL (
    SELECT t.id, t.priority, t.run_at, t.concurrency_key, (SELECT g.host FROM targets g WHERE g.host = t.target) AS target
      FROM tasks t
     WHERE t.tenant IS NOT NULL AND t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 6
       AND t.queue = n.queue AND t.tenant BETWEEN n.tenant AND n.tenant AND t.run_at <= now()
       AND (t.expires_at IS NULL OR t.expires_at > now())
     ORDER BY t.tenant, t.priority DESC, t.run_at, t.id
     LIMIT n.tasks
       FOR NO KEY UPDATE SKIP LOCKED) AS d
