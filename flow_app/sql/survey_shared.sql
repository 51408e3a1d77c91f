-- The queues that tenants share (``fair``), or shared until their last task was let out of its turn, and whether something
-- waits for its turn there: in how many seconds one of it is due, which it has been for a while unless the queue is paused
-- until some time, or has no token of its rate; NULL while nothing waits, or the queue is paused for good or full. No rows while no queue was ever shared.
--
-- Indexes: queues_with_turns, tasks_turns. No locks: the pass looks again.
SELECT q.name AS queue, q.fair_by IS NOT NULL AS fair,
       CASE WHEN t.run_at IS NOT NULL AND (p.name IS NULL OR p.stopped_until IS NOT NULL)
                 AND (l.name IS NULL OR queue_has_room(l.name, l.max_concurrency))
            THEN extract(epoch FROM greatest(t.run_at, p.stopped_until, r.next_at) - now())::float8 END AS due_in
  FROM queues q
  LEFT JOIN stopped_queues p ON p.name = q.name
  LEFT JOIN limited_queues l ON l.name = q.name
  CROSS JOIN LATERAL (SELECT max(next_at) AS next_at FROM rated_queues WHERE name = q.name) AS r
  LEFT JOIN LATERAL (
    SELECT run_at FROM tasks
     WHERE tenant IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 6 AND queue = q.name
     ORDER BY queue, tenant, priority DESC, run_at, id
     LIMIT 1) AS t ON true
 WHERE q.has_turns
