-- Ends of tasks from %(from)s until before %(to)s that the endpoint %(name)s hears of: of %(queues)s (NULL: all) and with one of
-- %(statuses)s, or because the task names it; at most %(most)s, the first first. Deliveries are not told of. The columns are those of
-- take_endings. Index: tasks_ended. Not the ORM: it is that statement without its locks.
WITH found AS MATERIALIZED (
  SELECT t.id, t.type, t.queue, t.status, t.attempt, t.version, t.end_reason, t.finished_at, t.correlation_id, t.callback
    FROM tasks t
   WHERE t.finished_at >= %(from)s AND t.finished_at < %(to)s
     AND ((t.status = ANY(%(statuses)s::text[]) AND (%(queues)s::text[] IS NULL OR t.queue = ANY(%(queues)s::text[])))
          OR t.callback->>'endpoint' = %(name)s)
     AND NOT EXISTS (SELECT FROM deliveries d WHERE d.id = t.id)
   ORDER BY t.finished_at
   LIMIT %(most)s
)
SELECT t.id, t.type, t.queue, t.status, t.attempt, t.version, t.finished_at,
       coalesce(t.correlation_id, replace(t.id::text, '-', '')) AS correlation_id, t.callback::text AS callback,
       coalesce(t.end_reason, x.error->>'code') AS error_code, x.result->>'statusCode' AS status_code,
       CASE WHEN %(results)s OR t.callback ? 'include' THEN x.result::text END AS result
  FROM found t
  LEFT JOIN LATERAL (
    SELECT e.error, e.result FROM task_executions e
     WHERE e.task_id = t.id AND e.attempt = t.attempt AND e.task_status = t.status AND t.end_reason IS NULL) AS x ON true
 ORDER BY t.finished_at, t.id
