-- Let due tasks of shared queues wait for the turns of their tenants: of each of the pairs %(queues)s and %(priorities)s,
-- from the places %(from)s and %(ids)s on, the first %(most)s and the last ones, which came just now: so that a newcomer
-- is seen while a backlog is being sorted. Returns how many were. Never waits for a task's lock.
--
-- Runs in a transaction that has taken the pass, and finds nothing in any other. Indexes: tasks_due, forwards and backwards.
WITH places AS MATERIALIZED (
  SELECT p.queue, p.priority, p.run_at, p.id, q.fair_by
    FROM unnest(%(queues)s::text[], %(priorities)s::int[], %(from)s::text[]::timestamptz[], %(ids)s::uuid[])
         AS p(queue, priority, run_at, id)
    JOIN queues q ON q.name = p.queue
   WHERE q.fair_by IS NOT NULL AND current_setting('scheduler.pass', true) = 'held'
),
found AS MATERIALIZED (
  SELECT d.id, p.fair_by
    FROM places p
    CROSS JOIN LATERAL (
      SELECT t.id
        FROM tasks t
       WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 0 AND t.crash_count = 0 AND t.needs_id IS NULL
         AND t.queue = p.queue AND t.priority = p.priority AND t.run_at <= now()
         AND (t.run_at, t.id) >= (p.run_at, p.id)
       ORDER BY t.run_at, t.id
       LIMIT %(most)s
         FOR NO KEY UPDATE SKIP LOCKED) AS d
  UNION
  SELECT d.id, p.fair_by
    FROM places p
    CROSS JOIN LATERAL (
      SELECT t.id
        FROM tasks t
       WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 0 AND t.crash_count = 0 AND t.needs_id IS NULL
         AND t.queue = p.queue AND t.priority = p.priority AND t.run_at <= now()
         AND (t.run_at, t.id) >= (p.run_at, p.id)
       ORDER BY t.run_at DESC, t.id DESC
       LIMIT greatest(1, %(most)s / 4)
         FOR NO KEY UPDATE SKIP LOCKED) AS d
),
moved AS (
  UPDATE tasks t
     SET gate = 6, tenant = CASE f.fair_by WHEN 'createdBy' THEN t.created_by ELSE coalesce(t.fair_key, '') END
    FROM found f
   WHERE t.id = f.id
  RETURNING t.id
)
SELECT count(*)::int FROM moved
