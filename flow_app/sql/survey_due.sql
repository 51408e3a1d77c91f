-- What is waiting, by queue and priority, in how many seconds each head is due, and where it lies: one row per (queue, priority) pair
-- from queue %(start)s on, at most %(limit)s, plus one row with a NULL queue for the earliest suspect. A queue paused
-- until some time is due then, one paused for good never (NULL), one without a token of its rate when the next one comes. Nor
-- is one that has as many tasks as its limit: whoever ends one of them sends a hint. Where the next survey may begin (``floor``) is a second
-- below the head. No locks: the assignment pass looks again.
--
-- Index: tasks_due, hopped from pair to pair (a "loose index scan"), because a plain ordered query walks over a million
-- future tasks of a higher priority to find one that is due. Not the ORM: it has no recursive query.
WITH RECURSIVE pairs(queue, priority, run_at, id, n) AS (
  (SELECT queue, priority, run_at, id, 1
     FROM tasks
    WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0 AND needs_id IS NULL AND queue >= %(start)s
    ORDER BY queue, priority DESC, run_at, id
    LIMIT 1)
  UNION ALL
  SELECT hop.queue, hop.priority, hop.run_at, hop.id, pairs.n + 1
    FROM pairs
    CROSS JOIN LATERAL (
      (SELECT 1 AS step, queue, priority, run_at, id
         FROM tasks
        WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0 AND needs_id IS NULL
          AND queue = pairs.queue AND priority < pairs.priority
        ORDER BY priority DESC, run_at, id
        LIMIT 1)
      UNION ALL
      (SELECT 2, queue, priority, run_at, id
         FROM tasks
        WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0 AND needs_id IS NULL
          AND queue > pairs.queue
        ORDER BY queue, priority DESC, run_at, id
        LIMIT 1)
      ORDER BY step
      LIMIT 1) AS hop
   WHERE pairs.n < %(limit)s
),
waiting AS (
  SELECT queue, priority, run_at, id FROM pairs
  UNION ALL
  (SELECT NULL, NULL, min(run_at), NULL
     FROM tasks
    WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count > 0)
)
SELECT w.queue, w.priority,
       CASE WHEN (q.name IS NULL OR q.stopped_until IS NOT NULL)
                 AND (l.name IS NULL OR queue_has_room(l.name, l.max_concurrency))
            THEN extract(epoch FROM greatest(w.run_at, q.stopped_until, r.next_at) - now())::float8 END AS due_in,
       w.run_at::text, w.id AS task_id, (least(w.run_at, now()) - interval '1 second')::text AS floor, NULL::int AS needs_id
  FROM waiting w
  LEFT JOIN stopped_queues q ON q.name = w.queue
  LEFT JOIN limited_queues l ON l.name = w.queue
  CROSS JOIN LATERAL (SELECT max(next_at) AS next_at FROM rated_queues WHERE name = w.queue) AS r
 WHERE w.run_at IS NOT NULL
 ORDER BY w.queue, w.priority DESC
