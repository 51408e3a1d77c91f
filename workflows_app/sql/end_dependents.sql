-- End the tasks %(ids)s, which the caller holds, with one of %(statuses)s each: those they depend on have ended so that they never
-- run. The event names one of these. What failed in a batch is marked, as in finish_attempts. Index: task_edges_outcome.
WITH asked AS MATERIALIZED (
  SELECT a.id, a.status, t.attempt, coalesce(t.correlation_id, replace(t.id::text, '-', '')) AS correlation_id
    FROM unnest(%(ids)s::uuid[], %(statuses)s::text[]) AS a(id, status)
    JOIN tasks t ON t.id = a.id
   WHERE t.gate = 2 AND t.status = 'PENDING'
),
moved AS (
  UPDATE tasks t
     SET status = a.status, unsuccessful = true, end_reason = 'DEPENDENCY_FAILED', finished_at = now(), version = t.version + 1,
         updated_at = now(), has_dependents = t.has_dependents OR t.batch_id IS NOT NULL AND a.status = 'FAILED'
    FROM asked a
   WHERE t.id = a.id
)
INSERT INTO audit_events (actor, action, target, task_id, attempt, from_status, to_status, reason, correlation_id)
SELECT 'scheduler', 'task.dependency_failed', 'task:' || a.id, a.id, a.attempt, 'PENDING', a.status,
       'task ' || p.parent_id || ', on which it depends, ended ' || p.outcome, a.correlation_id
  FROM asked a
  CROSS JOIN LATERAL (
    -- What has failed first, then what was cancelled; where all must not have succeeded, one that has.
    SELECT e.parent_id, e.outcome FROM task_edges e
     WHERE e.child_id = a.id AND e.outcome IS NOT NULL
     ORDER BY array_position(ARRAY['FAILED', 'CANCELLED', 'SUCCESS'], e.outcome)
     LIMIT 1) AS p
