-- Lock the first tasks that wait for the turns of tenants: %(tasks)s of each of %(tenants)s in %(queues)s. Never waits for
-- a task's lock: whatever is locked is left for the next pass. Runs in a transaction that has taken the pass.
--
-- Index: tasks_turns, which alone has this order: asked for one tenant, the planner may walk over those of all others in
-- tasks_gated. MATERIALIZED, because a nested-loop plan may run a LIMIT … FOR UPDATE once per row.
WITH RECURSIVE turns AS MATERIALIZED (
  SELECT n.queue, n.tenant, n.tasks, n.age
    FROM unnest(%(queues)s::text[], %(tenants)s::text[], %(tasks)s::int[], %(ages)s::int[]) AS n(queue, tenant, tasks, age)
),
-- Of each tenant of a queue whose priorities age, in %(ages)s seconds a level: the priorities that its tasks have, hopped to.
lines(queue, tenant, tasks, age, level) AS (
  SELECT n.queue, n.tenant, n.tasks, n.age, p.priority
    FROM turns n
    CROSS JOIN LATERAL (
      SELECT priority FROM tasks
       WHERE tenant IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 6
         AND queue = n.queue AND tenant = n.tenant
       ORDER BY queue, tenant, priority DESC, run_at, id
       LIMIT 1) AS p
   WHERE n.age IS NOT NULL
  UNION ALL
  SELECT l.queue, l.tenant, l.tasks, l.age, p.priority
    FROM lines l
    CROSS JOIN LATERAL (
      SELECT priority FROM tasks
       WHERE tenant IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 6
         AND queue = l.queue AND tenant = l.tenant AND priority < l.level
       ORDER BY queue, tenant, priority DESC, run_at, id
       LIMIT 1) AS p
),
aged AS MATERIALIZED (
  SELECT queue, tenant, id
    FROM (SELECT l.queue, l.tenant, l.tasks, d.id,
                 row_number() OVER (PARTITION BY l.queue, l.tenant
                                    ORDER BY aged_at(d.run_at, l.level, l.age), d.run_at, d.id) AS place
            FROM lines l
            CROSS JOIN LATERAL (
              SELECT t.id, t.run_at FROM tasks t
               WHERE t.tenant IS NOT NULL AND t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 6
                 AND t.queue = l.queue AND t.tenant = l.tenant AND t.priority = l.level AND t.run_at <= now()
                 AND (t.expires_at IS NULL OR t.expires_at > now())
               ORDER BY t.run_at, t.id
               LIMIT l.tasks) AS d) AS each
   WHERE each.place <= each.tasks
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
 WHERE n.age IS NULL
UNION ALL
SELECT d.id, d.queue, d.priority, d.run_at, d.concurrency_key, false, d.target, NULL, 1, 0::float8, d.tenant
  FROM (
    SELECT t.id, t.queue, t.priority, t.run_at, t.concurrency_key, t.tenant,
           (SELECT g.host FROM targets g WHERE g.host = t.target) AS target
      FROM aged a JOIN tasks t ON t.id = a.id
     WHERE t.tenant = a.tenant AND t.queue = a.queue AND t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 6
       FOR NO KEY UPDATE OF t SKIP LOCKED) AS d
