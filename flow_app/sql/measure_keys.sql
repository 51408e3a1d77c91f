-- Concurrency keys of the queue %(queue)s: those of which most tasks are assigned or running, %(most)s of them, and the keys
-- %(keys)s. A row each: how many hold it, the first five of them, how many may, and how many wait for it, of which
-- %(limit)s are counted. As many keys may be held as there are slots.
--
-- Indexes: tasks_key_held, tasks_key_waiting. Not the ORM: it has no lateral join.
WITH held AS MATERIALIZED (
  SELECT concurrency_key AS key, count(*)::int AS n, (array_agg(id ORDER BY key_slot))[:5] AS holders
    FROM tasks
   WHERE queue = %(queue)s AND concurrency_key IS NOT NULL AND worker_id IS NOT NULL AND finished_at IS NULL
   GROUP BY concurrency_key
),
named AS (
  (SELECT key, true AS busy FROM held ORDER BY n DESC, key LIMIT %(most)s)
   UNION ALL
  SELECT key, false FROM unnest(%(keys)s::text[]) AS k(key)
),
shown AS MATERIALIZED (SELECT key, bool_or(busy) AS busy FROM named GROUP BY key)
SELECT s.key, s.busy, coalesce(h.n, 0) AS held, coalesce(h.holders, '{}') AS holders, w.n AS waiting,
       CASE WHEN e.paused THEN 0 ELSE coalesce(e.max_concurrency, q.key_max_concurrency, 1) END AS most
  FROM shown s
  LEFT JOIN held h ON h.key = s.key
  LEFT JOIN queues q ON q.name = %(queue)s AND NOT starts_with(s.key, 'schedule:')
  LEFT JOIN queue_keys e ON e.queue = %(queue)s AND e.key = s.key
  CROSS JOIN LATERAL (
    SELECT count(*)::int AS n FROM (
      SELECT FROM tasks
       WHERE queue = %(queue)s AND concurrency_key = s.key AND worker_id IS NULL AND finished_at IS NULL
       LIMIT %(limit)s) AS counted) AS w
 ORDER BY held DESC, s.key
