-- What survey_due.sql returns, of tasks that need something of their worker, by what they need: a row for each
-- (needs, queue, priority) that some live worker can run. What nobody can run costs a hop, however many there are.
--
-- Index: tasks_labelled, hopped from needs to needs, and from pair to pair within those that are met.
WITH RECURSIVE wanted(needs_id) AS (
  (SELECT needs_id
     FROM tasks
    WHERE needs_id IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0
    ORDER BY needs_id
    LIMIT 1)
  UNION ALL
  SELECT hop.needs_id
    FROM wanted
    CROSS JOIN LATERAL (
      SELECT needs_id
        FROM tasks
       WHERE needs_id IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0
         AND needs_id > wanted.needs_id
       ORDER BY needs_id
       LIMIT 1) AS hop
),
classes AS MATERIALIZED (
  SELECT DISTINCT queues FROM worker_heartbeats WHERE state = 'ACTIVE'
),
met AS MATERIALIZED (
  -- The first worker of a class that meets the needs is enough: with all of fifty it takes fifty times as long.
  SELECT n.needs_id, c.queues
    FROM wanted n
    CROSS JOIN classes c
    CROSS JOIN LATERAL (
      SELECT FROM met_needs m
       WHERE m.needs_id = n.needs_id AND m.state = 'ACTIVE' AND m.queues IS NOT DISTINCT FROM c.queues
       LIMIT 1) AS one
),
pairs(needs_id, queue, priority, run_at, id) AS (
  SELECT n.needs_id, head.queue, head.priority, head.run_at, head.id
    FROM (SELECT DISTINCT needs_id FROM met) AS n
    CROSS JOIN LATERAL (
      SELECT queue, priority, run_at, id
        FROM tasks
       WHERE needs_id IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0
         AND needs_id = n.needs_id
       ORDER BY queue, priority DESC, run_at, id
       LIMIT 1) AS head
  UNION ALL
  SELECT pairs.needs_id, hop.queue, hop.priority, hop.run_at, hop.id
    FROM pairs
    CROSS JOIN LATERAL (
      (SELECT 1 AS step, queue, priority, run_at, id
         FROM tasks
        WHERE needs_id IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0
          AND needs_id = pairs.needs_id AND queue = pairs.queue AND priority < pairs.priority
        ORDER BY priority DESC, run_at, id
        LIMIT 1)
      UNION ALL
      (SELECT 2, queue, priority, run_at, id
         FROM tasks
        WHERE needs_id IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0
          AND needs_id = pairs.needs_id AND queue > pairs.queue
        ORDER BY queue, priority DESC, run_at, id
        LIMIT 1)
      ORDER BY step
      LIMIT 1) AS hop
)
SELECT p.queue, p.priority,
       CASE WHEN (q.name IS NULL OR q.stopped_until IS NOT NULL)
                 AND (l.name IS NULL OR queue_has_room(l.name, l.max_concurrency))
            THEN extract(epoch FROM greatest(p.run_at, q.stopped_until, r.next_at) - now())::float8 END AS due_in,
       p.run_at::text, p.id AS task_id, (least(p.run_at, now()) - interval '1 second')::text AS floor, p.needs_id
  FROM pairs p
  LEFT JOIN stopped_queues q ON q.name = p.queue
  LEFT JOIN limited_queues l ON l.name = p.queue
  LEFT JOIN LATERAL (SELECT next_at FROM rated_queues WHERE name = p.queue LIMIT 1) AS r ON true
 WHERE EXISTS (SELECT FROM met m WHERE m.needs_id = p.needs_id AND (m.queues IS NULL OR p.queue = ANY(m.queues)))
