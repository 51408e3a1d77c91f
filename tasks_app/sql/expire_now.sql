-- End the waiting tasks %(ids)s, which the caller has locked, as those that passed their expiresAt (`expire_tasks`), whatever theirs
-- is. Each has its event, for %(actor)s and with %(reason)s. One in a batch is marked, as in finish_attempts. Returns how many.
-- Index: the primary key.
WITH waiting AS MATERIALIZED (
  SELECT id, status AS was, attempt, worker_id, assigned_at,
         coalesce(correlation_id, replace(id::text, '-', '')) AS correlation_id
    FROM tasks
   WHERE id = ANY(%(ids)s::uuid[]) AND status IN ('PENDING', 'SCHEDULED')
),
moved AS (
  UPDATE tasks t
     SET status = 'FAILED', unsuccessful = true, end_reason = 'EXPIRED', finished_at = now(), version = t.version + 1,
         updated_at = now(), has_dependents = t.has_dependents OR t.batch_id IS NOT NULL
    FROM waiting w
   WHERE t.id = w.id
  RETURNING t.id
),
events AS (
  INSERT INTO audit_events (actor, action, target, task_id, attempt, from_status, to_status, reason, correlation_id,
                            detail)
  SELECT %(actor)s, 'task.expired', 'task:' || id, id, attempt, was, 'FAILED', %(reason)s, correlation_id,
         CASE WHEN was = 'SCHEDULED' THEN jsonb_build_object('assignedAt', assigned_at, 'workerId', worker_id) END
    FROM waiting
)
SELECT count(*)::int AS touched FROM moved
