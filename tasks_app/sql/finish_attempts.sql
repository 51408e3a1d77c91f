-- Record how a batch of attempts ended: the task's next state and one history row each, in one statement.
--
-- Guarded by the fence (id, attempt, worker, RUNNING) on the locked row; what does not match changes nothing and is not
-- counted. The moment of the start belongs to the fence, because a failover that loses a start lets its number be given
-- again. Rows are locked in id order, because an unordered batch deadlocks with recovery and cancels.
--
-- A batch of nothing but successes comes without ``statuses``: what follows from each is known, so it needs no look at the
-- locked row before the change. Any other batch is locked first. There, a task that may run at most once
-- (on_worker_lost = fail) is not given back once its body has begun, and whether a cancel was requested is read from the
-- locked row: then nothing goes back to PENDING.
--
-- The expected status is a parameter: as a constant, the planner took a partial index once per row. With ``again`` a history
-- row that is there already is left as it is, because one such row must not roll back its whole batch for ever.
-- Returns how many were recorded, and the places in the batch of those that did not become SUCCESS with what they became;
-- of all that were recorded, when some were not; and whether others wait for one that has ended. What FAILED in a batch is marked,
-- because that may fail fast.
WITH ended AS MATERIALIZED (
  SELECT e.place::int, e.id, e.attempt, s.starts[e.start] AS started_at, e.status, e.delay, coalesce(e.begun, true) AS begun,
         e.error_code, e.error_message, e.result
    FROM (SELECT %(starts)b::text[]::timestamptz[] AS starts OFFSET 0) AS s
    CROSS JOIN unnest(%(ids)b::uuid[], %(attempts)b::int[], %(start)b::int[], %(statuses)b::text[], %(delays)b::float8[],
                      %(begun)b::bool[], %(error_codes)b::text[], %(error_messages)b::text[], %(results)b::text[])
               WITH ORDINALITY
               AS e(id, attempt, start, status, delay, begun, error_code, error_message, result, place)
   ORDER BY e.id
),
succeeded AS (
  UPDATE tasks t
     SET status = 'SUCCESS', finished_at = now(), version = t.version + 1, updated_at = now()
    FROM ended e
   WHERE e.status IS NULL
     AND t.id = e.id AND t.attempt = e.attempt AND t.worker_id = %(worker_id)s AND t.status = %(running)s
     AND t.started_at = e.started_at
  RETURNING e.place, t.id, t.attempt, t.type, t.run_at, t.assigned_at, t.started_at, e.result, t.has_dependents
),
locked AS MATERIALIZED (
  SELECT e.place, t.id, t.attempt, t.run_at, t.assigned_at, t.started_at, t.type,
         t.has_dependents, t.batch_id IS NOT NULL AS in_batch, e.status, e.delay, e.error_code, e.error_message, e.result,
         CASE WHEN e.status = 'SUCCESS' THEN 'SUCCESS'
              WHEN e.status = 'CANCELLED' OR t.cancel_requested_at IS NOT NULL THEN 'CANCELLED'
              WHEN e.status = 'RELEASED' AND e.begun AND t.on_worker_lost = 'fail' THEN 'FAILED'
              WHEN e.status = 'RELEASED' OR e.delay IS NOT NULL THEN 'PENDING'
              ELSE 'FAILED' END AS next
    FROM ended e
    JOIN tasks t ON t.id = e.id AND t.attempt = e.attempt AND t.worker_id = %(worker_id)s AND t.status = %(running)s
                AND t.started_at = e.started_at
   WHERE e.status IS NOT NULL
   ORDER BY t.id
     FOR NO KEY UPDATE OF t
),
moved AS (
  UPDATE tasks t
     SET status = l.next,
         unsuccessful = l.next IN ('FAILED', 'CANCELLED'),
         has_dependents = t.has_dependents OR l.in_batch AND l.next = 'FAILED',
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
recorded AS (
  SELECT place, id, attempt, type, run_at, assigned_at, started_at, 'SUCCESS' AS status, 'SUCCESS' AS next,
         NULL AS error_code, NULL AS error_message, result, has_dependents
    FROM succeeded
  UNION ALL
  SELECT place, id, attempt, type, run_at, assigned_at, started_at, status, next, error_code, error_message, result,
         has_dependents AND next <> 'PENDING' OR in_batch AND next = 'FAILED'
    FROM locked
),
history AS (
  INSERT INTO task_executions (task_id, attempt, worker_id, type, due_at, assigned_at, started_at, finished_at,
                               status, task_status, error, result)
  SELECT id, attempt, %(worker_id)s, type, run_at, assigned_at, started_at, now(),
         status, next,
         CASE WHEN error_code IS NOT NULL THEN jsonb_build_object('code', error_code, 'message', error_message) END,
         result::jsonb
    FROM recorded r
   WHERE NOT %(again)s
      -- Not EXISTS, of which the planner makes a hash of all history while it believes that there is none.
      OR (SELECT x.attempt FROM task_executions x WHERE x.task_id = r.id AND x.attempt = r.attempt) IS NULL
),
total AS (
  SELECT (SELECT count(*) FROM succeeded) + (SELECT count(*) FROM locked) AS rows
),
told AS (
  SELECT place, next FROM recorded WHERE next <> 'SUCCESS' OR (SELECT rows FROM total) < cardinality(%(ids)b::uuid[])
)
SELECT (SELECT rows FROM total)::int AS recorded, coalesce(array_agg(place), '{}') AS places,
       coalesce(array_agg(next), '{}') AS nexts,
       (SELECT coalesce(bool_or(has_dependents), false) FROM recorded) AS parents
  FROM told
