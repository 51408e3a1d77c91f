-- Turn tasks assigned to this worker that take at most %(limit)s slots together into RUNNING attempts, first those that take
-- several, which were given free ones, then what was assigned more than a second ago, then by priority, then in the order in
-- which they were assigned: were it the order of due times, what a queue or a tenant has been given in its turn would wait here
-- for as long as another one has an older backlog. Nor does a flow of urgent tasks keep another one here for ever.
--
-- Nothing starts on another timeline than %(timeline)s: after a failover that lost a start, its fence would be given
-- out again while the first attempt still runs. The fence grows here and nowhere else. The worker's own row is locked
-- FOR KEY SHARE and must be ACTIVE in the same statement, so a start and the DEAD mark (FOR UPDATE) cannot both succeed
-- unseen by each other. Looks at what was assigned from the worker's %(floor)s on (``floors``), and
-- returns the next floor with each row when %(ask)s. What is the same for all rows is written as text once.
-- Index: tasks_owned; status is in no index, so this is a HOT update. Not the ORM: lock, write and return in one trip.
WITH me AS MATERIALIZED (
  SELECT worker_id FROM worker_heartbeats
   WHERE worker_id = %(worker_id)s AND state = 'ACTIVE' AND (SELECT database_timeline()) = %(timeline)s
     FOR KEY SHARE
),
mine AS MATERIALIZED (
  SELECT t.id, t.slots, t.priority, t.run_at, t.assigned_at, t.assigned_at > now() - interval '1 second' AS new
    FROM me JOIN tasks t ON t.worker_id = me.worker_id
   WHERE t.worker_id = %(worker_id)s AND t.finished_at IS NULL AND t.status = 'SCHEDULED'
     AND t.assigned_at >= %(floor)s::timestamptz
     AND t.run_at <= now() AND (t.expires_at IS NULL OR t.expires_at > now())
   ORDER BY t.slots > 1 DESC, new, t.priority DESC, t.assigned_at, t.run_at, t.id
   LIMIT %(limit)s
   FOR NO KEY UPDATE OF t SKIP LOCKED
),
costly AS MATERIALIZED (SELECT coalesce(bool_or(slots > 1), false) AS several FROM mine),
fitting AS (
  SELECT id FROM mine WHERE NOT (SELECT several FROM costly)
  UNION ALL
  -- Summed up only where some take several: one-time filters.
  SELECT id FROM (SELECT id, sum(slots) OVER (ORDER BY slots > 1 DESC, new, priority DESC, assigned_at, run_at, id) AS taken
                    FROM mine WHERE (SELECT several FROM costly)) AS m
   WHERE m.taken <= %(limit)s
),
started AS (
  UPDATE tasks t
     SET status = 'RUNNING', attempt = t.attempt + 1, started_at = now(), version = t.version + 1, updated_at = now()
   -- Not a join: over a table that was vacuumed while it was empty, the planner would walk the whole primary key.
   WHERE t.id = ANY(ARRAY(SELECT id FROM fitting))
  RETURNING t.id, t.attempt, t.type, t.payload, t.timeout_ms, t.correlation_id, t.max_retries, t.retry_count, t.retry,
            (t.concurrency_key IS NOT NULL OR t.limited) AS keyed, t.started_at, t.scheduled_for, t.slots,
            CASE WHEN t.task_token THEN coalesce(t.batch_id::text, '') END AS token_for, t.run_at, t.priority
)
SELECT id AS task_id, attempt, type, payload, timeout_ms, correlation_id, max_retries, retry_count, retry, keyed,
       (SELECT now()::text) AS started_at, scheduled_for, slots, token_for,
       CASE WHEN %(ask)s THEN
         (SELECT (assigned_at - interval '1 second')::text
            FROM tasks
           WHERE worker_id = %(worker_id)s AND finished_at IS NULL AND status = 'SCHEDULED'
             AND assigned_at >= %(floor)s::timestamptz
           ORDER BY assigned_at
           LIMIT 1) END AS next_floor
  FROM started
 ORDER BY priority DESC, run_at, id
