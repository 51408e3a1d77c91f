-- Attempts the database says are RUNNING on this worker but that it does not hold: a start whose reply was lost.
-- They run under the fence they carry, on the timeline %(timeline)s only: on another, one may have been lost with its end.
-- Index: tasks_owned. Same columns as start_assigned.sql.
SELECT id AS task_id, attempt, type, payload, timeout_ms, correlation_id, max_retries, retry_count, retry,
       (concurrency_key IS NOT NULL OR limited) AS keyed, started_at::text, scheduled_for, slots,
       CASE WHEN task_token THEN coalesce(batch_id::text, '') END AS token_for, NULL AS next_floor
  FROM tasks
 WHERE worker_id = %(worker_id)s AND finished_at IS NULL AND status = 'RUNNING' AND id <> ALL(%(held)s::uuid[])
   AND (SELECT database_timeline()) = %(timeline)s
 ORDER BY priority DESC, run_at, id
