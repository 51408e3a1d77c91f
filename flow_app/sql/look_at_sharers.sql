-- Tenants of the queues %(queues)s of whom something waits for its turn, at most %(most)s a queue: in the order of their
-- names from the one that was served last on, and beginning anew behind the last name. With their weights, how many tasks
-- of them live workers own there, and how many turns in a row the one that was served last has had.
--
-- What is owned is counted from floors, as in count_room.sql: shares may lean on them, limits never do.
-- Runs in a transaction that has taken the pass, and finds nobody in any other. Indexes: tasks_turns, hopped from tenant to
-- tenant (a "loose index scan"), and tasks_owned. Not the ORM: it has no recursive query.
WITH RECURSIVE shared AS MATERIALIZED (
  SELECT s.queue, coalesce(t.tenant, '') AS last, coalesce(t.used, 0) AS used
    FROM unnest(%(queues)s::text[]) AS s(queue)
    LEFT JOIN queue_turns t ON t.queue = s.queue
   WHERE NOT EXISTS (SELECT FROM stopped_queues p WHERE p.name = s.queue)
     AND current_setting('scheduler.pass', true) = 'held'
),
onwards(queue, tenant, n) AS (
  SELECT s.queue, f.tenant, 1
    FROM shared s
    CROSS JOIN LATERAL (
      SELECT tenant FROM tasks
       WHERE tenant IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 6
         AND queue = s.queue AND tenant >= s.last
       ORDER BY queue, tenant, priority DESC, run_at, id
       LIMIT 1) AS f
  UNION ALL
  SELECT o.queue, f.tenant, o.n + 1
    FROM onwards o
    CROSS JOIN LATERAL (
      SELECT tenant FROM tasks
       WHERE tenant IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 6
         AND queue = o.queue AND tenant > o.tenant
       ORDER BY queue, tenant, priority DESC, run_at, id
       LIMIT 1) AS f
   WHERE o.n < %(most)s
),
seen AS MATERIALIZED (SELECT queue, count(*) AS n FROM onwards GROUP BY queue),
anew(queue, tenant, last, n) AS (
  SELECT s.queue, f.tenant, s.last, coalesce(seen.n, 0) + 1
    FROM shared s
    LEFT JOIN seen ON seen.queue = s.queue
    CROSS JOIN LATERAL (
      SELECT tenant FROM tasks
       WHERE tenant IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 6
         AND queue = s.queue AND tenant < s.last
       ORDER BY queue, tenant, priority DESC, run_at, id
       LIMIT 1) AS f
   WHERE coalesce(seen.n, 0) < %(most)s
  UNION ALL
  SELECT a.queue, f.tenant, a.last, a.n + 1
    FROM anew a
    CROSS JOIN LATERAL (
      SELECT tenant FROM tasks
       WHERE tenant IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 6
         AND queue = a.queue AND tenant > a.tenant AND tenant < a.last
       ORDER BY queue, tenant, priority DESC, run_at, id
       LIMIT 1) AS f
   WHERE a.n < %(most)s
),
held AS MATERIALIZED (
  SELECT o.queue, o.tenant, count(*)::int AS tasks
    FROM worker_heartbeats w
    CROSS JOIN LATERAL (
      SELECT t.queue, t.tenant
        FROM tasks t
       WHERE t.worker_id = w.worker_id AND t.finished_at IS NULL AND t.tenant IS NOT NULL
         AND t.assigned_at >= coalesce((%(floors)s::timestamptz[])[array_position(%(workers)s::uuid[], w.worker_id)],
                                       '-infinity')) AS o
   WHERE w.state = 'ACTIVE'
   GROUP BY o.queue, o.tenant
),
sharers AS MATERIALIZED (
  SELECT queue, tenant, n FROM onwards UNION ALL SELECT queue, tenant, n FROM anew
)
SELECT s.queue, s.tenant, coalesce(w.weight, 1) AS weight, coalesce(h.tasks, 0) AS held,
       CASE WHEN s.tenant = q.last THEN q.used ELSE 0 END AS used
  FROM sharers s
  JOIN shared q ON q.queue = s.queue
  LEFT JOIN queue_keys w ON w.queue = s.queue AND w.key = s.tenant
  LEFT JOIN held h ON h.queue = s.queue AND h.tenant = s.tenant
 ORDER BY s.queue, s.n
