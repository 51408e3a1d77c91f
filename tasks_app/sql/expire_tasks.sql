-- End tasks that passed their expiresAt before they started. A running attempt is left alone. One in a batch is marked, as in
-- finish_attempts.
-- Index: tasks_expiring; at most %(limit)s tasks a call.
WITH due AS MATERIALIZED (
  -- In the order of the index: by id, a planner whose statistics are old walks the primary key through all history.
  SELECT id
    FROM tasks
   WHERE expires_at <= now() AND expires_at IS NOT NULL AND finished_at IS NULL AND status IN ('PENDING', 'SCHEDULED')
   ORDER BY expires_at
   LIMIT %(limit)s
),
expired AS MATERIALIZED (
  SELECT t.id, t.status AS was, t.attempt, coalesce(t.correlation_id, replace(t.id::text, '-', '')) AS correlation_id, t.worker_id, t.assigned_at
    FROM due d
    JOIN tasks t ON t.id = d.id
   WHERE t.expires_at <= now() AND t.finished_at IS NULL AND t.status IN ('PENDING', 'SCHEDULED')
   ORDER BY t.id
     FOR NO KEY UPDATE OF t SKIP LOCKED
),
moved AS (
  UPDATE tasks t
     SET status = 'FAILED', unsuccessful = true, end_reason = 'EXPIRED', finished_at = now(), version = t.version + 1,
         updated_at = now(), has_dependents = t.has_dependents OR t.batch_id IS NOT NULL
    FROM expired e
   WHERE t.id = e.id
),
events AS (
  INSERT INTO audit_events (actor, action, target, task_id, attempt, from_status, to_status, reason, correlation_id,
                            detail)
  SELECT 'scheduler', 'task.expired', 'task:' || id, id, attempt, was, 'FAILED', 'passed its expiresAt', correlation_id,
         CASE WHEN was = 'SCHEDULED' THEN jsonb_build_object('assignedAt', assigned_at, 'workerId', worker_id) END
    FROM expired
)
SELECT id FROM expired
