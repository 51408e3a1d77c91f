-- What is waiting, by queue and priority, and when each head is due: one row per (queue, priority) pair, plus one row
-- with a NULL queue for the earliest suspect. Rows of a queue paused for good are left out; a queue paused until some
-- time is due then. No locks: the assignment pass looks again.
--
-- Index: tasks_due, hopped from pair to pair (a "loose index scan"), because a plain ordered query walks over a million
-- future tasks of a higher priority to find one that is due. Not the ORM: it has no recursive query.
WITH RECURSIVE pairs(queue, priority, run_at, n) AS (
  (SELECT queue, priority, run_at, 1
     FROM tasks
    WHERE worker_id IS NULL AND finished_at IS NULL AND NOT key_blocked AND crash_count = 0
    ORDER BY queue, priority DESC, run_at, id
    LIMIT 1)
  UNION ALL
  SELECT hop.queue, hop.priority, hop.run_at, pairs.n + 1
    FROM pairs
    CROSS JOIN LATERAL (
      (SELECT 1 AS step, queue, priority, run_at
         FROM tasks
        WHERE worker_id IS NULL AND finished_at IS NULL AND NOT key_blocked AND crash_count = 0
          AND queue = pairs.queue AND priority < pairs.priority
        ORDER BY priority DESC, run_at, id
        LIMIT 1)
      UNION ALL
      (SELECT 2, queue, priority, run_at
         FROM tasks
        WHERE worker_id IS NULL AND finished_at IS NULL AND NOT key_blocked AND crash_count = 0
          AND queue > pairs.queue
        ORDER BY queue, priority DESC, run_at, id
        LIMIT 1)
      ORDER BY step
      LIMIT 1) AS hop
   WHERE pairs.n < 10000
),
waiting AS (
  SELECT queue, priority, run_at FROM pairs
  UNION ALL
  (SELECT NULL, NULL, min(run_at)
     FROM tasks
    WHERE worker_id IS NULL AND finished_at IS NULL AND NOT key_blocked AND crash_count > 0)
)
SELECT w.queue, w.priority,
       extract(epoch FROM greatest(w.run_at, q.paused_until) - now())::float8 AS due_in
  FROM waiting w
  LEFT JOIN queues q ON q.name = w.queue AND q.paused_at IS NOT NULL AND (q.paused_until IS NULL OR q.paused_until > now())
 WHERE w.run_at IS NOT NULL AND (q.name IS NULL OR q.paused_until IS NOT NULL)
