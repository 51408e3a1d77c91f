-- Take the tasks of workers that are gone (no ACTIVE or DRAINING row: DEAD, STOPPED or pruned) and decide what follows.
--
-- No lease is read here: who is dead was marked before, in a transaction of its own. Status, attempt and owner are
-- compared again on the locked row (its worker must be among the gone), so a task that moved on is left alone.
-- SCHEDULED goes back unused; a RUNNING attempt becomes a LOST row and its task PENDING, CANCELLED when a cancel was
-- requested, or FAILED when it may not run again or has lost %(max_crashes)s workers; in a batch it is marked then, as in finish_attempts.
-- Index: tasks_owned, hopped from owner to owner; at most %(limit)s tasks a call, in id order.
WITH RECURSIVE owners(worker_id) AS (
  (SELECT worker_id FROM tasks WHERE worker_id IS NOT NULL AND finished_at IS NULL ORDER BY worker_id LIMIT 1)
  UNION ALL
  SELECT (SELECT t.worker_id FROM tasks t
           WHERE t.worker_id > o.worker_id AND t.worker_id IS NOT NULL AND t.finished_at IS NULL
           ORDER BY t.worker_id LIMIT 1)
    FROM owners o
   WHERE o.worker_id IS NOT NULL
),
gone AS MATERIALIZED (
  SELECT o.worker_id
    FROM owners o
   WHERE o.worker_id IS NOT NULL
     AND NOT EXISTS (
       SELECT FROM worker_heartbeats w WHERE w.worker_id = o.worker_id AND w.state IN ('ACTIVE', 'DRAINING'))
),
owned AS MATERIALIZED (
  -- Neither ordered nor limited: with that, a planner whose statistics are old walks the primary key through all history.
  SELECT t.id FROM gone g JOIN tasks t ON t.worker_id = g.worker_id AND t.finished_at IS NULL
),
locked AS MATERIALIZED (
  SELECT t.id, t.attempt, t.worker_id, t.status AS was, t.type, t.run_at, t.assigned_at, t.started_at,
         coalesce(t.correlation_id, replace(t.id::text, '-', '')) AS correlation_id,
         CASE WHEN t.status = 'SCHEDULED' THEN 'PENDING'
              WHEN t.cancel_requested_at IS NOT NULL THEN 'CANCELLED'
              WHEN t.on_worker_lost = 'fail' OR t.crash_count + 1 >= %(max_crashes)s THEN 'FAILED'
              ELSE 'PENDING' END AS next,
         CASE WHEN t.status = 'SCHEDULED' OR t.cancel_requested_at IS NOT NULL THEN NULL
              WHEN t.on_worker_lost = 'fail' THEN 'WORKER_LOST'
              WHEN t.crash_count + 1 >= %(max_crashes)s THEN 'QUARANTINED' END AS end_reason
    FROM tasks t
   -- Not a join, for the same reason.
   WHERE t.id = ANY(ARRAY(SELECT id FROM owned))
     AND t.worker_id = ANY(ARRAY(SELECT worker_id FROM gone))
     AND t.finished_at IS NULL AND t.status IN ('SCHEDULED', 'RUNNING')
   ORDER BY t.id
   LIMIT %(limit)s
     FOR NO KEY UPDATE OF t SKIP LOCKED
),
moved AS (
  UPDATE tasks t
     SET status = l.next,
         unsuccessful = l.next IN ('FAILED', 'CANCELLED'),
         has_dependents = t.has_dependents OR t.batch_id IS NOT NULL AND l.next = 'FAILED',
         end_reason = l.end_reason,
         finished_at = CASE WHEN l.next <> 'PENDING' THEN now() END,
         worker_id = CASE WHEN l.next <> 'PENDING' THEN t.worker_id END,
         assigned_at = CASE WHEN l.next <> 'PENDING' THEN t.assigned_at END,
         started_at = CASE WHEN l.next <> 'PENDING' THEN t.started_at END,
         crash_count = t.crash_count + CASE WHEN l.was = 'RUNNING' THEN 1 ELSE 0 END,
         version = t.version + 1,
         updated_at = now()
    FROM locked l
   WHERE t.id = l.id
),
history AS (
  INSERT INTO task_executions (task_id, attempt, worker_id, type, due_at, assigned_at, started_at, finished_at,
                               status, task_status, error)
  SELECT id, attempt, worker_id, type, run_at, assigned_at, started_at, now(), 'LOST', next,
         jsonb_build_object('code', 'WORKER_LOST', 'message', 'the worker was lost while it ran this attempt')
    FROM locked
   WHERE was = 'RUNNING'
  ON CONFLICT (task_id, attempt) DO NOTHING
),
events AS (
  INSERT INTO audit_events (actor, action, target, task_id, attempt, from_status, to_status, reason, correlation_id,
                            detail)
  SELECT 'scheduler',
         CASE WHEN was = 'SCHEDULED' THEN 'task.handed_back'
              WHEN end_reason = 'QUARANTINED' THEN 'task.quarantined' ELSE 'task.lost' END,
         'task:' || id, id, attempt, was, next,
         CASE WHEN end_reason = 'QUARANTINED' THEN 'lost its worker too many times'
              ELSE 'worker ' || worker_id || ' was lost' END,
         correlation_id,
         CASE WHEN was = 'SCHEDULED' THEN jsonb_build_object('assignedAt', assigned_at, 'workerId', worker_id) END
    FROM locked
   WHERE was = 'SCHEDULED' OR end_reason IS NOT NULL
)
SELECT id AS task_id, attempt, worker_id, was, next AS next_status, end_reason, correlation_id FROM locked
