-- Look at %(limit)s tasks that ended with one of %(statuses)s more than %(age)s ago, in the order in which they ended behind
-- (%(after)s, %(after_id)s), and delete them with their history, their events, what they depended on, took from others, wrote and said of
-- their progress, and their idempotency keys (a key of a bulk call goes with the last of its tasks; one of a request that was answered with a task
-- that was there already goes with that one). Kept are those whose batch is not done, whose dependents do not know of their end, have not ended, or
-- have, but not so long ago that they would go themselves (%(success_age)s, %(failed_age)s; NULL: never): they may be run again,
-- and ask for results then. What keeps a dependent is not asked, or a chain without an end would be kept as a whole.
-- A row that has changed since it was looked at is left for the next time: it may have got a dependent that this snapshot
-- does not show. Returns how many were deleted and looked at, and the last of these. Indexes: tasks_ended, task_edges_settled,
-- idempotency_keys_answered; history by an array, because with statistics of an empty table the planner would join all of it.
WITH looked AS MATERIALIZED (
  SELECT id, finished_at, ctid AS row
    FROM tasks
   WHERE finished_at >= %(after)s::timestamptz AND (finished_at, id) > (%(after)s::timestamptz, %(after_id)s::uuid)
     AND finished_at < now() - %(age)s::interval AND status = ANY(%(statuses)s::text[]) AND NOT has_dependents
   ORDER BY finished_at, id
   LIMIT %(limit)s
),
old AS MATERIALIZED (
  SELECT t.id, t.created_by, t.idempotency_key
    FROM looked l
    JOIN tasks t ON t.id = l.id AND t.ctid = l.row
   WHERE (t.batch_id IS NULL OR NOT EXISTS (SELECT FROM batches b WHERE b.id = t.batch_id AND b.finished_at IS NULL))
     AND NOT EXISTS (
           SELECT FROM task_edges e
             JOIN tasks c ON c.id = e.child_id
            WHERE e.parent_id = l.id AND length(e.outcome) > 0
              AND (c.finished_at < now() - CASE c.status WHEN 'FAILED' THEN %(failed_age)s::interval
                                                         ELSE %(success_age)s::interval END) IS NOT TRUE)
     FOR UPDATE OF t SKIP LOCKED
),
history AS (DELETE FROM task_executions WHERE task_id = ANY(ARRAY(SELECT id FROM old))),
failures AS (DELETE FROM task_failures WHERE task_id = ANY(ARRAY(SELECT id FROM old))),
edges AS (DELETE FROM task_edges WHERE child_id = ANY(ARRAY(SELECT id FROM old))),
joins AS (DELETE FROM task_joins WHERE task_id = ANY(ARRAY(SELECT id FROM old))),
inputs AS (DELETE FROM task_inputs WHERE task_id = ANY(ARRAY(SELECT id FROM old))),
progress AS (DELETE FROM task_progress WHERE task_id = ANY(ARRAY(SELECT id FROM old))),
output AS (DELETE FROM task_output WHERE task_id = ANY(ARRAY(SELECT id FROM old))),
events AS (DELETE FROM audit_events a USING old WHERE a.task_id = old.id),
keys AS (
  DELETE FROM idempotency_keys k
   USING old
   WHERE old.idempotency_key IS NOT NULL AND k.created_by = old.created_by AND k.key = old.idempotency_key
     AND NOT EXISTS (SELECT FROM tasks t WHERE t.id = ANY(k.task_ids) AND t.id NOT IN (SELECT id FROM old))
),
answered AS (
  DELETE FROM idempotency_keys WHERE answered_with IS NOT NULL AND answered_with = ANY(ARRAY(SELECT id FROM old))
),
deleted AS (DELETE FROM tasks t USING old WHERE t.id = old.id RETURNING t.id)
SELECT (SELECT count(*)::int FROM deleted) AS deleted, (SELECT count(*)::int FROM looked) AS looked,
       (SELECT finished_at::text FROM looked ORDER BY finished_at DESC, id DESC LIMIT 1) AS finished_at,
       (SELECT id FROM looked ORDER BY finished_at DESC, id DESC LIMIT 1) AS id
