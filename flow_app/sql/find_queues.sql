-- The names of the queues in use, in their order, from the first on and at most %(limit)s: those with a task that has not
-- ended, and those with a row. Indexes: tasks_due, tasks_key_waiting and tasks_gated, hopped from queue to queue (a "loose
-- index scan": as many steps as there are queues, however much waits in them); tasks_suspects and tasks_owned, all of them, and 10,000 of tasks_labelled:
-- they are as large as there are slots. Not the ORM: it has no recursive query.
WITH RECURSIVE open(queue, n) AS (
  (SELECT queue, 1 FROM tasks
    WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0 AND needs_id IS NULL
    ORDER BY queue LIMIT 1)
  UNION ALL
  SELECT hop.queue, open.n + 1
    FROM open
    CROSS JOIN LATERAL (
      SELECT queue FROM tasks
       WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0 AND needs_id IS NULL AND queue > open.queue
       ORDER BY queue LIMIT 1) AS hop
   WHERE open.n < %(limit)s
),
keyed(queue, n) AS (
  (SELECT queue, 1 FROM tasks
    WHERE worker_id IS NULL AND finished_at IS NULL AND concurrency_key IS NOT NULL
    ORDER BY queue LIMIT 1)
  UNION ALL
  SELECT hop.queue, keyed.n + 1
    FROM keyed
    CROSS JOIN LATERAL (
      SELECT queue FROM tasks
       WHERE worker_id IS NULL AND finished_at IS NULL AND concurrency_key IS NOT NULL AND queue > keyed.queue
       ORDER BY queue LIMIT 1) AS hop
   WHERE keyed.n < %(limit)s
),
gated(queue, n) AS (
  (SELECT queue, 1 FROM tasks
    WHERE gate > 1 AND worker_id IS NULL AND finished_at IS NULL
    ORDER BY queue LIMIT 1)
  UNION ALL
  SELECT hop.queue, gated.n + 1
    FROM gated
    CROSS JOIN LATERAL (
      SELECT queue FROM tasks
       WHERE gate > 1 AND worker_id IS NULL AND finished_at IS NULL AND queue > gated.queue
       ORDER BY queue LIMIT 1) AS hop
   WHERE gated.n < %(limit)s
)
SELECT queue FROM open
 UNION
SELECT queue FROM keyed
 UNION
SELECT queue FROM gated
 UNION
(SELECT DISTINCT queue
   FROM (SELECT queue FROM tasks
          WHERE needs_id IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0
          LIMIT 10000) AS labelled)
 UNION
(SELECT DISTINCT queue FROM tasks WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count > 0)
 UNION
(SELECT DISTINCT queue FROM tasks WHERE worker_id IS NOT NULL AND finished_at IS NULL)
 UNION
(SELECT name FROM queues ORDER BY name LIMIT %(limit)s)
 ORDER BY 1
 LIMIT %(limit)s
