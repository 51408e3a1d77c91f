-- End tasks that passed their expiresAt before they started. A running attempt is left alone.
-- Index: tasks_expiring; at most %(limit)s tasks a call.
WITH expired AS MATERIALIZED (
  SELECT id, status AS was, attempt, correlation_id, worker_id, assigned_at
    FROM tasks
   WHERE expires_at <= now() AND expires_at IS NOT NULL AND finished_at IS NULL AND status IN ('PENDING', 'SCHEDULED')
   ORDER BY id
   LIMIT %(limit)s
     FOR NO KEY UPDATE SKIP LOCKED
),
moved AS (
  UPDATE tasks t
     SET status = 'FAILED', end_reason = 'EXPIRED', finished_at = now(), version = t.version + 1, updated_at = now()
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
