-- Decide about tasks that nobody has approved or rejected in time, each as its approval says: cancelled, failed, or let run, due
-- from now on by the clock. What somebody holds is left for the next look. What failed in a batch is marked, as in finish_attempts.
-- Index: tasks_approval; at most %(limit)s tasks a call.
WITH due AS MATERIALIZED (
  SELECT id
    FROM tasks
   WHERE approval_ends_at <= now() AND approval_asked_at IS NOT NULL AND finished_at IS NULL
   ORDER BY approval_ends_at
   LIMIT %(limit)s
),
late AS MATERIALIZED (
  SELECT t.id, t.attempt, coalesce(t.correlation_id, replace(t.id::text, '-', '')) AS correlation_id,
         CASE t.approval->>'onTimeout' WHEN 'run' THEN 'PENDING' WHEN 'fail' THEN 'FAILED' ELSE 'CANCELLED' END AS next
    FROM due d
    JOIN tasks t ON t.id = d.id
   WHERE t.approval_ends_at <= now() AND t.gate = 3 AND t.status = 'PENDING'
   ORDER BY t.id
     FOR NO KEY UPDATE OF t SKIP LOCKED
),
moved AS (
  UPDATE tasks t
     SET status = l.next, unsuccessful = l.next <> 'PENDING', gate = CASE WHEN l.next = 'PENDING' THEN 0 ELSE t.gate END,
         run_at = CASE WHEN l.next = 'PENDING' THEN greatest(t.run_at, clock_timestamp()) ELSE t.run_at END,
         has_dependents = t.has_dependents OR t.batch_id IS NOT NULL AND l.next = 'FAILED',
         end_reason = CASE WHEN l.next <> 'PENDING' THEN 'APPROVAL_TIMEOUT' END,
         finished_at = CASE WHEN l.next <> 'PENDING' THEN now() END,
         approval_asked_at = NULL, approval_ends_at = NULL, version = t.version + 1, updated_at = now()
    FROM late l
   WHERE t.id = l.id
),
events AS (
  INSERT INTO audit_events (actor, action, target, task_id, attempt, from_status, to_status, reason, correlation_id)
  SELECT 'scheduler', 'task.approval_timed_out', 'task:' || id, id, attempt, 'PENDING', next,
         'nobody has approved it in time', correlation_id
    FROM late
)
SELECT id FROM late
