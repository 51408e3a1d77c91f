-- Cancel what waits in the batches %(ids)s, which the caller holds: at most %(limit)s tasks, and none that somebody else holds.
-- What runs is left to end. Returns how many. The event says whether the batch was cancelled, or has failed fast: then the task
-- says so, too, and is run again with what has failed. Index: tasks_batch_open.
WITH found AS MATERIALIZED (
  SELECT t.id
    FROM unnest(%(ids)s::uuid[]) AS b(id)
    CROSS JOIN LATERAL (
      SELECT id FROM tasks
       WHERE batch_id = b.id AND finished_at IS NULL AND status IN ('PENDING', 'SCHEDULED')
       LIMIT %(limit)s) AS t
   LIMIT %(limit)s
),
locked AS MATERIALIZED (
  SELECT t.id, t.status AS was, t.attempt, t.worker_id, t.assigned_at,
         coalesce(t.correlation_id, replace(t.id::text, '-', '')) AS correlation_id, t.batch_id
    FROM found f
    JOIN tasks t ON t.id = f.id
   WHERE t.finished_at IS NULL AND t.status IN ('PENDING', 'SCHEDULED')
   ORDER BY t.id
     FOR NO KEY UPDATE OF t SKIP LOCKED
),
why AS MATERIALIZED (SELECT id, cancelled_at IS NULL AS failed FROM batches WHERE id = ANY(%(ids)s::uuid[])),
moved AS (
  UPDATE tasks t
     SET status = 'CANCELLED', unsuccessful = true, finished_at = now(), version = t.version + 1, updated_at = now(),
         end_reason = CASE WHEN w.failed THEN 'BATCH_FAILED' END
    FROM locked l
    JOIN why w ON w.id = l.batch_id
   WHERE t.id = l.id
),
events AS (
  INSERT INTO audit_events (actor, action, target, task_id, attempt, from_status, to_status, reason, correlation_id,
                            detail)
  SELECT 'scheduler', 'task.cancelled', 'task:' || l.id, l.id, l.attempt, l.was, 'CANCELLED',
         'its batch ' || l.batch_id || CASE WHEN w.failed THEN ' has failed fast' ELSE ' was cancelled' END, l.correlation_id,
         CASE WHEN l.was = 'SCHEDULED' THEN jsonb_build_object('assignedAt', l.assigned_at, 'workerId', l.worker_id) END
    FROM locked l
    JOIN why w ON w.id = l.batch_id
)
SELECT count(*)::int AS stopped FROM locked
