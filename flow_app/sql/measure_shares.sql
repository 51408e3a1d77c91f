-- What the tenants of the shared queue %(queue)s have had of it within the last hour: a row each, those with most first, with
-- the seconds that their attempts ran, their weight, and how many seconds back this goes: an hour, or as far as the last
-- %(sample)s attempts of all queues that ended. Attempts that run count as far as they have come.
--
-- Tenants that only wait are among them, the first 1,000 by name: hopped from one to the next as in why_turn.sql.
-- Indexes: the primary keys (attempts are appended in the order of their ends), tasks_owned, tasks_turns.
-- Not the ORM: it has no recursive query.
WITH RECURSIVE queue AS MATERIALIZED (SELECT name, fair_by FROM queues WHERE name = %(queue)s AND fair_by IS NOT NULL),
latest AS MATERIALIZED (
  SELECT task_id, started_at, finished_at FROM task_executions ORDER BY id DESC LIMIT %(sample)s
),
since AS MATERIALIZED (
  SELECT CASE WHEN count(*) < %(sample)s THEN now() - interval '1 hour'
              ELSE greatest(now() - interval '1 hour', min(finished_at)) END AS at FROM latest
),
ran AS (
  SELECT CASE q.fair_by WHEN 'createdBy' THEN t.created_by ELSE coalesce(t.fair_key, '') END AS tenant,
         extract(epoch FROM a.finished_at - greatest(a.started_at, since.at)) AS seconds
    FROM latest a
    CROSS JOIN since
    JOIN tasks t ON t.id = a.task_id
    JOIN queue q ON q.name = t.queue
   WHERE a.finished_at > since.at
  UNION ALL
  SELECT CASE q.fair_by WHEN 'createdBy' THEN t.created_by ELSE coalesce(t.fair_key, '') END,
         extract(epoch FROM now() - greatest(t.started_at, since.at))
    FROM tasks t
    JOIN queue q ON q.name = t.queue
    CROSS JOIN since
   WHERE t.worker_id IS NOT NULL AND t.finished_at IS NULL AND t.status = 'RUNNING'
),
waiting(tenant, n) AS (
  SELECT f.tenant, 1
    FROM queue q
    CROSS JOIN LATERAL (
      SELECT tenant FROM tasks
       WHERE tenant IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 6 AND queue = q.name
       ORDER BY queue, tenant, priority DESC, run_at, id
       LIMIT 1) AS f
  UNION ALL
  SELECT f.tenant, w.n + 1
    FROM waiting w
    CROSS JOIN queue q
    CROSS JOIN LATERAL (
      SELECT tenant FROM tasks
       WHERE tenant IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 6
         AND queue = q.name AND tenant > w.tenant
       ORDER BY queue, tenant, priority DESC, run_at, id
       LIMIT 1) AS f
   WHERE w.n < 1000
)
SELECT s.tenant, coalesce(k.weight, 1)::int AS weight, s.seconds::float8,
       extract(epoch FROM now() - since.at)::float8 AS span
  FROM (SELECT tenant, sum(greatest(seconds, 0)) AS seconds
          FROM (SELECT tenant, seconds FROM ran UNION ALL SELECT tenant, 0 FROM waiting) AS each
         GROUP BY tenant) AS s
  CROSS JOIN since
  LEFT JOIN queue_keys k ON k.queue = %(queue)s AND k.key = s.tenant
 ORDER BY seconds DESC, s.tenant
