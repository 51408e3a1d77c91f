-- What survey_due.sql returns, looked for only from the floors of known pairs on: a row for each of %(queues)s, %(priorities)s
-- and %(floors)s, with NULLs where nothing waits, and one with a NULL queue for the earliest suspect. No row at all when
-- something waits in a pair that is not among these: then everything is to be looked at.
--
-- For the time in which some transaction holds an old snapshot: then tasks_due keeps an entry of each task that has been
-- assigned since, and a look at a pair from its beginning walks over all of them. Index: tasks_due, from each floor, and in
-- each gap between two pairs; bounds are constants or columns, never a condition that is checked row by row.
WITH known AS MATERIALIZED (
  SELECT queue, priority, floor
    FROM unnest(%(queues)s::text[], %(priorities)s::int[], %(floors)s::text[]::timestamptz[]) AS k(queue, priority, floor)
),
priorities AS MATERIALIZED (
  SELECT queue, priority AS above, lead(priority, 1, -101) OVER (PARTITION BY queue ORDER BY priority DESC) AS below
    FROM (SELECT queue, priority FROM known UNION ALL SELECT DISTINCT queue, 101 FROM known) AS bounds
),
queues_known AS MATERIALIZED (
  SELECT queue AS above, lead(queue) OVER (ORDER BY queue) AS below
    FROM (SELECT DISTINCT queue FROM known UNION ALL SELECT '') AS bounds
),
elsewhere AS MATERIALIZED (
  SELECT EXISTS (SELECT FROM priorities g CROSS JOIN LATERAL (
                   SELECT FROM tasks
                    WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0 AND needs_id IS NULL
                      AND queue = g.queue AND priority < g.above AND priority > g.below
                    LIMIT 1) AS one)
      OR EXISTS (SELECT FROM queues_known g CROSS JOIN LATERAL (
                   SELECT FROM tasks
                    WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0 AND needs_id IS NULL
                      AND queue > g.above AND queue < g.below
                    LIMIT 1) AS one)
      OR EXISTS (SELECT FROM tasks
                  WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0 AND needs_id IS NULL
                    AND queue > (SELECT max(queue) FROM known)) AS waits
),
waiting AS (
  SELECT k.queue, k.priority, head.run_at, head.id
    FROM known k
    LEFT JOIN LATERAL (
      SELECT t.run_at, t.id
        FROM tasks t
       WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 0 AND t.crash_count = 0 AND t.needs_id IS NULL
         AND t.queue = k.queue AND t.priority = k.priority AND t.run_at >= k.floor
       ORDER BY t.run_at, t.id
       LIMIT 1) AS head ON true
  UNION ALL
  (SELECT NULL, NULL, min(run_at), NULL
     FROM tasks
    WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count > 0)
)
SELECT w.queue, w.priority,
       CASE WHEN w.run_at IS NOT NULL AND (q.name IS NULL OR q.stopped_until IS NOT NULL)
                 AND (l.name IS NULL OR queue_has_room(l.name, l.max_concurrency))
            THEN extract(epoch FROM greatest(w.run_at, q.stopped_until, r.next_at) - now())::float8 END AS due_in,
       w.run_at::text, w.id AS task_id, (least(w.run_at, now()) - interval '1 second')::text AS floor, NULL::int AS needs_id
  FROM waiting w
  LEFT JOIN stopped_queues q ON q.name = w.queue
  LEFT JOIN limited_queues l ON l.name = w.queue
  CROSS JOIN LATERAL (SELECT max(next_at) AS next_at FROM rated_queues WHERE name = w.queue) AS r
 WHERE (w.queue IS NOT NULL OR w.run_at IS NOT NULL) AND NOT (SELECT waits FROM elsewhere)
