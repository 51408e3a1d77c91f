-- How many tasks a freeze of %(queues)s, %(types)s and %(targets)s is about that have not ended, by status and queue; a row each, and
-- whether there may be more (``capped``). Of what waits it looks at %(limit)s tasks in each index, those of queues first-hand; what is owned
-- is as much as there are slots.
-- Indexes: tasks_owned, tasks_due, tasks_labelled, tasks_suspects, tasks_key_waiting, tasks_gated, tasks_frozen, whose predicates
-- are written out. Not the ORM: it has no union of parts that are limited each.
WITH asked AS MATERIALIZED (SELECT %(types)s::text[] <> '{}' OR %(targets)s::text[] <> '{}' AS is_narrow),
parts AS MATERIALIZED (
  (SELECT 1 AS part, status, queue, type, target FROM tasks
    WHERE worker_id IS NOT NULL AND finished_at IS NULL)
  UNION ALL
  (SELECT 2, status, queue, type, target FROM tasks
    WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0 AND needs_id IS NULL
      AND queue = ANY(%(queues)s::text[])
    LIMIT %(limit)s)
  UNION ALL
  (SELECT 3, status, queue, type, target FROM tasks
    WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0 AND needs_id IS NULL
      AND (SELECT is_narrow FROM asked)
    ORDER BY queue, priority DESC, run_at, id
    LIMIT %(limit)s)
  UNION ALL
  (SELECT 4, status, queue, type, target FROM tasks
    WHERE needs_id IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0
    LIMIT %(limit)s)
  UNION ALL
  (SELECT 5, status, queue, type, target FROM tasks
    WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count > 0
    ORDER BY priority DESC, run_at, id
    LIMIT %(limit)s)
  UNION ALL
  (SELECT 6, status, queue, type, target FROM tasks
    WHERE worker_id IS NULL AND finished_at IS NULL AND concurrency_key IS NOT NULL AND gate = 1
      AND (queue = ANY(%(queues)s::text[]) OR (SELECT is_narrow FROM asked))
    LIMIT %(limit)s)
  UNION ALL
  (SELECT 7, status, queue, type, target FROM tasks
    WHERE gate > 1 AND worker_id IS NULL AND finished_at IS NULL AND gate <> 7
      AND (queue = ANY(%(queues)s::text[]) OR (SELECT is_narrow FROM asked))
    LIMIT %(limit)s)
  UNION ALL
  (SELECT 8, status, queue, type, target FROM tasks
    WHERE gate - 7 = 0 AND finished_at IS NULL
    ORDER BY priority * -1, run_at, id
    LIMIT %(limit)s)
),
sizes AS MATERIALIZED (SELECT bool_or(n >= %(limit)s) AS capped FROM (SELECT count(*) AS n FROM parts WHERE part > 1 GROUP BY part) AS s)
SELECT status, queue, count(*)::int AS tasks, (SELECT coalesce(capped, false) FROM sizes) AS capped
  FROM parts p
 WHERE (p.queue = ANY(%(queues)s::text[]) OR p.type = ANY(%(types)s::text[]) OR p.target = ANY(%(targets)s::text[]))
   -- What is in a frozen queue is met twice where types are frozen, too.
   AND (p.part <> 3 OR p.queue <> ALL(%(queues)s::text[]))
 GROUP BY status, queue
 ORDER BY count(*) DESC, queue, status
