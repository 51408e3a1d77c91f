-- Run the ended tasks %(ids)s again, which the caller has locked and has room for, as `transitions.retry` does one: due now, with
-- their counts at zero, and marked when somebody is to be told of their end (%(heard)s: `notices.heard_queues`). Each has its event, for %(actor)s and with %(reason)s. Returns how many. Index: the primary key.
WITH ended AS MATERIALIZED (
  SELECT id, status AS was, attempt, coalesce(correlation_id, replace(id::text, '-', '')) AS correlation_id,
         callback IS NOT NULL OR ARRAY[queue, '*'] && %(heard)s::text[] AS told
    FROM tasks
   WHERE id = ANY(%(ids)s::uuid[]) AND status IN ('SUCCESS', 'FAILED', 'CANCELLED')
),
moved AS (
  UPDATE tasks t
     SET status = 'PENDING', unsuccessful = false, gate = CASE WHEN t.approval IS NULL THEN 0 ELSE 3 END,
         approval_asked_at = CASE WHEN t.approval IS NOT NULL THEN now() END,
         approval_ends_at = now() + make_interval(secs => (t.approval->>'timeoutSeconds')::int), run_at = now(), schedule_at = now(), retry_count = 0,
         crash_count = 0, worker_id = NULL, assigned_at = NULL, started_at = NULL, finished_at = NULL,
         cancel_requested_at = NULL, end_reason = NULL,
         expires_at = CASE WHEN t.expires_at > now() THEN t.expires_at END,
         notifies = e.told, has_dependents = t.has_dependents OR e.told OR t.batch_id IS NOT NULL,
         version = t.version + 1, updated_at = now()
    FROM ended e
   WHERE t.id = e.id
  RETURNING t.id
),
events AS (
  INSERT INTO audit_events (actor, action, target, task_id, attempt, from_status, to_status, reason, correlation_id)
  SELECT %(actor)s, 'task.retried', 'task:' || id, id, attempt, was, 'PENDING', %(reason)s, correlation_id
    FROM ended
)
SELECT count(*)::int AS touched FROM moved
