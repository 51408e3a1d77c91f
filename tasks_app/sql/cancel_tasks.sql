-- Cancel the tasks %(ids)s that have not ended: waiting ones at once, running ones by request, as `transitions.cancel`
-- does one. %(actors)s are who does it, one for each. Returns the workers that run some of them, to be notified.
-- In id order, like every statement that locks more than one task. Index: the primary key.
WITH asked AS MATERIALIZED (
  SELECT * FROM unnest(%(ids)s::uuid[], %(actors)s::text[]) AS a(id, actor)
),
locked AS MATERIALIZED (
  SELECT t.id, a.actor, t.status AS was, t.attempt, coalesce(t.correlation_id, replace(t.id::text, '-', '')) AS correlation_id, t.worker_id, t.assigned_at
    FROM asked a
    JOIN tasks t ON t.id = a.id
   WHERE t.finished_at IS NULL AND (t.status <> 'RUNNING' OR t.cancel_requested_at IS NULL)
   ORDER BY t.id
     FOR NO KEY UPDATE OF t
),
moved AS (
  UPDATE tasks t
     SET status = CASE WHEN l.was = 'RUNNING' THEN t.status ELSE 'CANCELLED' END,
         unsuccessful = l.was <> 'RUNNING',
         finished_at = CASE WHEN l.was <> 'RUNNING' THEN now() END,
         cancel_requested_at = CASE WHEN l.was = 'RUNNING' THEN now() ELSE t.cancel_requested_at END,
         version = t.version + 1,
         updated_at = now()
    FROM locked l
   WHERE t.id = l.id
),
events AS (
  INSERT INTO audit_events (actor, action, target, task_id, attempt, from_status, to_status, reason, correlation_id,
                            detail)
  SELECT actor, CASE WHEN was = 'RUNNING' THEN 'task.cancel_requested' ELSE 'task.cancelled' END, 'task:' || id, id,
         attempt, was, CASE WHEN was = 'RUNNING' THEN was ELSE 'CANCELLED' END, %(reason)s, correlation_id,
         CASE WHEN was = 'SCHEDULED' THEN jsonb_build_object('assignedAt', assigned_at, 'workerId', worker_id) END
    FROM locked
)
SELECT DISTINCT worker_id FROM locked WHERE was = 'RUNNING'
