-- Give the waiting tasks %(ids)s, which the caller has locked, the priority %(priority)s or the queue %(queue)s, whichever is not NULL,
-- as `transitions.edit` does one: what is assigned goes back. Only in another queue is a gate that a pass has closed open again: its key,
-- rate, target or turn is another one there; who is to be told of its end hears of it there (%(heard)s: `notices.heard_queues`). An approval is asked for anew there.
-- Each has its event, for %(actor)s and with %(reason)s. Returns how many. Index: the primary key.
WITH waiting AS MATERIALIZED (
  SELECT id, status AS was, attempt, worker_id, assigned_at,
         coalesce(correlation_id, replace(id::text, '-', '')) AS correlation_id,
         coalesce(ARRAY[%(queue)s::text, '*'] && %(heard)s::text[], false) AND %(queue)s::text IS NOT NULL AS told,
         %(queue)s::text IS NOT NULL AND approval IS NOT NULL AND gate <> 2 AS asks
    FROM tasks
   WHERE id = ANY(%(ids)s::uuid[]) AND status IN ('PENDING', 'SCHEDULED')
),
moved AS (
  UPDATE tasks t
     SET status = 'PENDING', unsuccessful = false, worker_id = NULL, assigned_at = NULL,
         priority = coalesce(%(priority)s::smallint, t.priority), queue = coalesce(%(queue)s::text, t.queue),
         notifies = t.notifies OR w.told, has_dependents = t.has_dependents OR w.told,
         gate = CASE WHEN w.asks THEN 3 ELSE CASE WHEN %(queue)s::text IS NOT NULL AND t.gate IN (1, 4, 5, 6, 7) THEN 0 ELSE t.gate END END,
         approval_asked_at = CASE WHEN w.asks THEN now() ELSE t.approval_asked_at END,
         approval_ends_at = CASE WHEN w.asks THEN now() + make_interval(secs => (t.approval->>'timeoutSeconds')::int)
                                 ELSE t.approval_ends_at END,
         version = t.version + 1, updated_at = now()
    FROM waiting w
   WHERE t.id = w.id
  RETURNING t.id
),
events AS (
  INSERT INTO audit_events (actor, action, target, task_id, attempt, from_status, to_status, reason, correlation_id,
                            detail)
  SELECT %(actor)s, 'task.edited', 'task:' || id, id, attempt, was, 'PENDING', %(reason)s, correlation_id,
         jsonb_build_object('fields', jsonb_build_array(CASE WHEN %(queue)s::text IS NULL THEN 'priority' ELSE 'queue' END))
         || CASE WHEN was = 'SCHEDULED' THEN jsonb_build_object('assignedAt', assigned_at, 'workerId', worker_id)
                 ELSE '{}' END
    FROM waiting
)
SELECT count(*)::int AS touched FROM moved
