-- Let those of the tasks %(ids)s run again that have ended unsuccessful; the caller holds them. What they wait for they wait for anew:
-- their edges to %(there)s, which the caller holds as well and has marked, are open again, and the next round notes how these
-- have ended. An edge to what is no longer there stays as it was. What waits for none and needs an approval is
-- asked for now. Each is marked when somebody is to be told of its end
-- (%(heard)s: `notices.heard_queues`). Index: the primary keys.
WITH asked AS MATERIALIZED (
  SELECT t.id, t.attempt, t.status AS was, coalesce(t.correlation_id, replace(t.id::text, '-', '')) AS correlation_id,
         t.callback IS NOT NULL OR ARRAY[t.queue, '*'] && %(heard)s::text[] AS told
    FROM tasks t
   WHERE t.id = ANY(%(ids)s::uuid[]) AND t.finished_at IS NOT NULL AND t.unsuccessful
),
armed AS (
  UPDATE task_edges e
     SET outcome = NULL
    FROM asked a
   WHERE e.child_id = a.id AND e.parent_id = ANY(%(there)s::uuid[])
  RETURNING e.child_id
),
moved AS (
  UPDATE tasks t
     SET status = 'PENDING', unsuccessful = false, gate = CASE WHEN t.id IN (SELECT child_id FROM armed) THEN 2 WHEN t.approval IS NOT NULL THEN 3 ELSE 0 END,
         approval_asked_at = CASE WHEN t.approval IS NOT NULL AND t.id NOT IN (SELECT child_id FROM armed) THEN now() END,
         approval_ends_at = CASE WHEN t.id NOT IN (SELECT child_id FROM armed)
                                 THEN now() + make_interval(secs => (t.approval->>'timeoutSeconds')::int) END,
         run_at = now(), schedule_at = now(), expires_at = CASE WHEN t.expires_at > now() THEN t.expires_at END,
         worker_id = NULL, assigned_at = NULL, started_at = NULL, finished_at = NULL, cancel_requested_at = NULL,
         end_reason = NULL, notifies = a.told, has_dependents = t.has_dependents OR a.told, retry_count = 0, crash_count = 0, version = t.version + 1, updated_at = now()
    FROM asked a
   WHERE t.id = a.id
),
events AS (
  INSERT INTO audit_events (actor, action, target, task_id, attempt, from_status, to_status, reason, correlation_id)
  SELECT %(actor)s, 'task.retried', 'task:' || id, id, attempt, was, 'PENDING', %(reason)s, correlation_id FROM asked
)
SELECT id FROM asked
