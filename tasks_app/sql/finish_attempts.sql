-- Record how a batch of attempts ended: the task's next state and one history row each, in one statement.
--
-- Guarded by the fence (id, attempt, worker, RUNNING) on the locked row; what does not match changes nothing and is not
-- returned. The moment of the start belongs to the fence, because a failover that loses a start lets its number be given
-- again. A task that may run at most once (on_worker_lost = fail) is not given back once its body has begun. Whether a
-- cancel was requested is read from the locked row: then nothing goes back to PENDING. Rows are
-- locked in id order, because an unordered batch deadlocks with recovery. The expected status is a column of the batch:
-- as a constant, the planner took a partial index once per row. ON CONFLICT, because one resent row must not roll back
-- its whole batch for ever.
WITH ended AS MATERIALIZED (
  SELECT *
    FROM unnest(%(ids)b::uuid[], %(attempts)b::int[], %(running)b::text[], %(statuses)b::text[], %(delays)b::float8[],
                %(begun)b::bool[], %(started)b::text[]::timestamptz[], %(error_codes)b::text[], %(error_messages)b::text[],
                %(results)b::text[])
         AS e(id, attempt, was, status, delay, begun, started_at, error_code, error_message, result)
),
locked AS MATERIALIZED (
  SELECT t.id, t.attempt, t.run_at, t.assigned_at, t.started_at, t.type,
         e.status, e.delay, e.error_code, e.error_message, e.result,
         CASE WHEN e.status = 'SUCCESS' THEN 'SUCCESS'
              WHEN e.status = 'CANCELLED' OR t.cancel_requested_at IS NOT NULL THEN 'CANCELLED'
              WHEN e.status = 'RELEASED' AND e.begun AND t.on_worker_lost = 'fail' THEN 'FAILED'
              WHEN e.status = 'RELEASED' OR e.delay IS NOT NULL THEN 'PENDING'
              ELSE 'FAILED' END AS next
    FROM ended e
    JOIN tasks t ON t.id = e.id AND t.attempt = e.attempt AND t.worker_id = %(worker_id)s AND t.status = e.was
                AND t.started_at = e.started_at
   ORDER BY t.id
     FOR NO KEY UPDATE OF t
),
moved AS (
  UPDATE tasks t
     SET status = l.next,
         unsuccessful = l.next IN ('FAILED', 'CANCELLED'),
         finished_at = CASE WHEN l.next <> 'PENDING' THEN now() END,
         end_reason = CASE WHEN l.next = 'FAILED' AND l.status = 'RELEASED' THEN 'WORKER_LOST' END,
         worker_id = CASE WHEN l.next <> 'PENDING' THEN t.worker_id END,
         assigned_at = CASE WHEN l.next <> 'PENDING' THEN t.assigned_at END,
         started_at = CASE WHEN l.next <> 'PENDING' THEN t.started_at END,
         run_at = CASE WHEN l.next = 'PENDING' AND l.delay IS NOT NULL THEN now() + make_interval(secs => l.delay)
                       ELSE t.run_at END,
         retry_count = t.retry_count + CASE WHEN l.next = 'PENDING' AND l.delay IS NOT NULL THEN 1 ELSE 0 END,
         version = t.version + 1,
         updated_at = now()
    FROM locked l
   WHERE t.id = l.id
),
history AS (
  INSERT INTO task_executions (task_id, attempt, worker_id, type, due_at, assigned_at, started_at, finished_at,
                               status, task_status, error, result)
  SELECT id, attempt, %(worker_id)s, type, run_at, assigned_at, started_at, now(),
         status, next,
         CASE WHEN error_code IS NOT NULL THEN jsonb_build_object('code', error_code, 'message', error_message) END,
         result::jsonb
    FROM locked
  ON CONFLICT (task_id, attempt) DO NOTHING
)
SELECT id AS task_id, attempt, next AS next_status FROM locked
