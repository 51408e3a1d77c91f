-- The rates that a task comes under and that have no token: of its queue (kind ``queue``, or ``thaw`` for that of its resume),
-- of the target that it calls, and of its concurrency key. What was given to workers and has not started (``unstarted``) holds tokens. Indexes: the
-- primary keys.
WITH mine AS MATERIALIZED (SELECT queue, target, concurrency_key FROM tasks WHERE id = %(id)s)
SELECT r.kind, r.name, r.rate_limit, r.rate_period, r.rate_burst, r.full_at, cardinality(r.task_ids) AS unstarted, now() AS now
  FROM mine m JOIN rated_queues r ON r.name = m.queue
 WHERE r.tokens = 0
UNION ALL
SELECT r.kind, r.name, r.rate_limit, r.rate_period, r.rate_burst, r.full_at, cardinality(r.task_ids), now()
  FROM mine m JOIN rated_targets r ON r.name = m.target
 WHERE r.tokens = 0
UNION ALL
SELECT 'key', m.concurrency_key, r.rate_limit, r.rate_period, r.rate_burst, r.full_at, cardinality(r.task_ids), now()
  FROM mine m CROSS JOIN LATERAL rated_key(m.queue, m.concurrency_key) AS r
 WHERE r.tokens = 0
