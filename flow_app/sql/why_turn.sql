-- What is to be said of a task that waits for the turn of its tenant: how many tasks of the tenant are assigned or running in
-- the queue, its weight, that of all who want or hold some of it, the slots there are, and how many of the tenant's own come
-- first. Bounded: it looks at 1,000 tenants and 10,000 tasks. Indexes: the primary key, tasks_turns, tasks_owned. Not the
-- ORM: it has no recursive query.
WITH RECURSIVE mine AS MATERIALIZED (
  SELECT t.queue, t.tenant, t.priority, t.run_at, t.id, q.priority_age_seconds AS age,
         aged_at(t.run_at, t.priority, q.priority_age_seconds) AS at
    FROM tasks t LEFT JOIN queues q ON q.name = t.queue
   WHERE t.id = %(id)s AND t.tenant IS NOT NULL
),
tenants(queue, tenant, n) AS (
  SELECT m.queue, f.tenant, 1
    FROM mine m
    CROSS JOIN LATERAL (
      SELECT tenant FROM tasks
       WHERE tenant IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 6 AND queue = m.queue
       ORDER BY queue, tenant, priority DESC, run_at, id
       LIMIT 1) AS f
  UNION ALL
  SELECT s.queue, f.tenant, s.n + 1
    FROM tenants s
    CROSS JOIN LATERAL (
      SELECT tenant FROM tasks
       WHERE tenant IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 6
         AND queue = s.queue AND tenant > s.tenant
       ORDER BY queue, tenant, priority DESC, run_at, id
       LIMIT 1) AS f
   WHERE s.n < 1000
),
held AS MATERIALIZED (
  SELECT t.tenant, count(*)::int AS tasks
    FROM tasks t JOIN mine m ON m.queue = t.queue
   WHERE t.worker_id IS NOT NULL AND t.finished_at IS NULL AND t.tenant IS NOT NULL
   GROUP BY t.tenant
),
everybody AS MATERIALIZED (
  SELECT tenant FROM tenants UNION SELECT tenant FROM held UNION SELECT tenant FROM mine
)
SELECT coalesce((SELECT h.tasks FROM held h WHERE h.tenant = m.tenant), 0) AS held,
       coalesce((SELECT k.weight FROM queue_keys k WHERE k.queue = m.queue AND k.key = m.tenant), 1) AS weight,
       (SELECT sum(coalesce(k.weight, 1))::int
          FROM everybody e LEFT JOIN queue_keys k ON k.queue = m.queue AND k.key = e.tenant) AS weights,
       coalesce((SELECT sum(w.slots) FROM worker_heartbeats w
                  WHERE w.state = 'ACTIVE' AND (w.queues IS NULL OR m.queue = ANY(w.queues))), 0)::int AS slots,
       (SELECT count(*)::int
          FROM ((SELECT 1 FROM tasks a
                  WHERE a.tenant IS NOT NULL AND a.worker_id IS NULL AND a.finished_at IS NULL AND a.gate = 6
                    AND a.queue = m.queue AND a.tenant = m.tenant AND m.age IS NULL
                    AND (a.priority > m.priority OR a.priority = m.priority AND (a.run_at, a.id) < (m.run_at, m.id))
                  LIMIT 10000)
                UNION ALL
                -- Where priorities age: of each of them, what was due early enough.
                (SELECT 1
                   FROM generate_series(-100, 100) AS p(level)
                   CROSS JOIN LATERAL (
                     SELECT 1 FROM tasks a
                      WHERE a.tenant IS NOT NULL AND a.worker_id IS NULL AND a.finished_at IS NULL AND a.gate = 6
                        AND a.queue = m.queue AND a.tenant = m.tenant AND a.priority = p.level
                        AND a.run_at <= aged_at(m.at, -p.level, m.age)
                        AND (aged_at(a.run_at, a.priority, m.age), a.run_at, a.id) < (m.at, m.run_at, m.id)) AS line
                  WHERE m.age IS NOT NULL
                  LIMIT 10000)) AS first) AS ahead
  FROM mine m
