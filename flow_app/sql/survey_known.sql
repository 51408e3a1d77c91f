-- What survey_due.sql answers, looked for only behind the floors of pairs that earlier surveys have found: a row for each of
-- %(queues)s, %(priorities)s and %(floors)s, with NULLs where nothing waits, one with a NULL queue for the earliest suspect,
-- and in every row whether something waits in a pair that is not among these (``elsewhere``).
--
-- For the time in which some transaction holds an old snapshot: then tasks_due keeps an entry of each task that has ended
-- since, and a look at a pair from its beginning walks over all of them. Index: tasks_due, from each floor, and in each
-- gap between two pairs; bounds are constants or columns, never a condition that is checked row by row.
WITH known AS MATERIALIZED (
  SELECT queue, priority, floor,
         coalesce(lag(priority) OVER (PARTITION BY queue ORDER BY priority DESC), 2147483647) AS above,
         row_number() OVER (PARTITION BY queue ORDER BY priority) = 1 AS lowest
    FROM unnest(%(queues)s::text[], %(priorities)s::int[], %(floors)s::text[]::timestamptz[]) AS k(queue, priority, floor)
),
queues_known AS MATERIALIZED (
  SELECT queue, lead(queue) OVER (ORDER BY queue) AS next FROM (SELECT DISTINCT queue FROM known) AS k
),
elsewhere AS MATERIALIZED (
  SELECT EXISTS (
           SELECT FROM known k CROSS JOIN LATERAL (
             SELECT FROM tasks
              WHERE worker_id IS NULL AND finished_at IS NULL AND NOT key_blocked AND crash_count = 0
                AND queue = k.queue AND priority > k.priority AND priority < k.above LIMIT 1) AS between_two)
      OR EXISTS (
           SELECT FROM known k CROSS JOIN LATERAL (
             SELECT FROM tasks
              WHERE worker_id IS NULL AND finished_at IS NULL AND NOT key_blocked AND crash_count = 0
                AND queue = k.queue AND priority < k.priority LIMIT 1) AS below
            WHERE k.lowest)
      OR EXISTS (
           SELECT FROM queues_known k CROSS JOIN LATERAL (
             SELECT FROM tasks
              WHERE worker_id IS NULL AND finished_at IS NULL AND NOT key_blocked AND crash_count = 0
                AND queue > k.queue AND queue < k.next LIMIT 1) AS between_two)
      OR EXISTS (
           SELECT FROM tasks
            WHERE worker_id IS NULL AND finished_at IS NULL AND NOT key_blocked AND crash_count = 0
              AND queue < (SELECT min(queue) FROM queues_known))
      OR EXISTS (
           SELECT FROM tasks
            WHERE worker_id IS NULL AND finished_at IS NULL AND NOT key_blocked AND crash_count = 0
              AND queue > (SELECT max(queue) FROM queues_known)) AS waits
),
waiting AS (
  SELECT k.queue, k.priority, head.run_at, head.id
    FROM known k
    LEFT JOIN LATERAL (
      SELECT t.run_at, t.id
        FROM tasks t
       WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND NOT t.key_blocked AND t.crash_count = 0
         AND t.queue = k.queue AND t.priority = k.priority AND t.run_at >= k.floor
       ORDER BY t.run_at, t.id
       LIMIT 1) AS head ON true
  UNION ALL
  (SELECT NULL, NULL, min(run_at), NULL
     FROM tasks
    WHERE worker_id IS NULL AND finished_at IS NULL AND NOT key_blocked AND crash_count > 0)
)
SELECT w.queue, w.priority,
       CASE WHEN w.run_at IS NOT NULL AND (q.name IS NULL OR q.paused_until IS NOT NULL)
            THEN extract(epoch FROM greatest(w.run_at, q.paused_until) - now())::float8 END AS due_in,
       w.run_at::text, w.id AS task_id, (least(w.run_at, now()) - interval '1 second')::text AS floor,
       e.waits AS elsewhere
  FROM waiting w
  CROSS JOIN elsewhere e
  LEFT JOIN paused_queues q ON q.name = w.queue
 WHERE w.queue IS NOT NULL OR w.run_at IS NOT NULL
