-- Give tasks that are assigned but not started back to PENDING: no attempt is used up. At most %(limit)s a call.
--
-- %(worker_id)s: those of one worker (it drains). %(queue)s: those of one queue (it was paused), or, with %(key)s, of one
-- concurrency key of it. %(target)s: those that call one host. %(frozen)s: those that an open freeze covers. None of them: assignments older than %(older_than)s seconds
-- whose worker sits on them while another one that could run them has a free slot.
-- Index: tasks_owned.
WITH free AS MATERIALIZED (
  SELECT w.worker_id, w.queues, w.slots - o.taken AS slots
    FROM worker_heartbeats w
    CROSS JOIN LATERAL (
      SELECT coalesce(sum(t.slots), 0) AS taken FROM tasks t WHERE t.worker_id = w.worker_id AND t.finished_at IS NULL) AS o
   WHERE w.state = 'ACTIVE' AND %(older_than)s::float8 IS NOT NULL AND w.slots > o.taken
),
owned AS MATERIALIZED (
  -- Neither ordered nor limited: with that, a planner whose statistics are old walks the primary key through all history.
  SELECT t.id
    FROM tasks t
   WHERE t.worker_id IS NOT NULL AND t.finished_at IS NULL AND t.status = 'SCHEDULED'
     AND (%(worker_id)s::uuid IS NULL OR t.worker_id = %(worker_id)s::uuid)
     AND (%(queue)s::text IS NULL OR t.queue = %(queue)s::text)
     AND (%(target)s::text IS NULL OR t.target = %(target)s::text)
     AND (%(key)s::text IS NULL OR t.concurrency_key = %(key)s::text)
     AND (NOT %(frozen)s::boolean OR is_frozen(t.queue, t.type, t.target))
     AND (%(older_than)s::float8 IS NULL
          OR t.assigned_at < now() - make_interval(secs => %(older_than)s::float8)
             AND EXISTS (SELECT FROM free f
                          WHERE f.worker_id <> t.worker_id AND f.slots >= t.slots AND (f.queues IS NULL OR t.queue = ANY(f.queues))
                            AND (t.needs_id IS NULL
                                 OR EXISTS (SELECT FROM met_needs m
                                             WHERE m.worker_id = f.worker_id AND m.needs_id = t.needs_id))))
),
returned AS MATERIALIZED (
  SELECT t.id, t.attempt, coalesce(t.correlation_id, replace(t.id::text, '-', '')) AS correlation_id, t.worker_id, t.assigned_at
    FROM tasks t
   -- Not a join, for the same reason. What has moved on meanwhile is another's, or assigned anew.
   WHERE t.id = ANY(ARRAY(SELECT id FROM owned))
     AND t.finished_at IS NULL AND t.status = 'SCHEDULED'
     AND (%(worker_id)s::uuid IS NULL OR t.worker_id = %(worker_id)s::uuid)
     AND (%(queue)s::text IS NULL OR t.queue = %(queue)s::text)
     AND (%(target)s::text IS NULL OR t.target = %(target)s::text)
     AND (%(older_than)s::float8 IS NULL OR t.assigned_at < now() - make_interval(secs => %(older_than)s::float8))
   ORDER BY t.id
   LIMIT %(limit)s
     FOR NO KEY UPDATE OF t SKIP LOCKED
),
moved AS (
  UPDATE tasks t
     SET status = 'PENDING', worker_id = NULL, assigned_at = NULL, version = t.version + 1, updated_at = now()
    FROM returned r
   WHERE t.id = r.id
),
events AS (
  INSERT INTO audit_events (actor, action, target, task_id, attempt, from_status, to_status, reason, correlation_id,
                            detail)
  SELECT %(actor)s, 'task.handed_back', 'task:' || id, id, attempt, 'SCHEDULED', 'PENDING', %(reason)s, correlation_id,
         jsonb_build_object('assignedAt', assigned_at, 'workerId', worker_id)
    FROM returned
)
SELECT id, worker_id FROM returned
