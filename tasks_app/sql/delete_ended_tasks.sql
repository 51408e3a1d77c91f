-- Delete a small batch of tasks that ended with one of %(statuses)s more than %(age)s ago, with their history, their
-- events and their idempotency keys (a key of a bulk call goes with the last of its tasks; one of a request that was
-- answered with a task that was there already goes with that one), and what they depended on. One whose dependents do not
-- know of its end is kept. Indexes: tasks_ended, idempotency_keys_answered;
-- history by an array, because with statistics of an empty table the planner would join all of it.
WITH old AS MATERIALIZED (
  SELECT id, created_by, idempotency_key
    FROM tasks
   WHERE finished_at < now() - %(age)s::interval AND status = ANY(%(statuses)s::text[]) AND NOT has_dependents
   ORDER BY finished_at
   LIMIT %(limit)s
     FOR UPDATE SKIP LOCKED
),
history AS (DELETE FROM task_executions WHERE task_id = ANY(ARRAY(SELECT id FROM old))),
edges AS (DELETE FROM task_edges WHERE child_id = ANY(ARRAY(SELECT id FROM old))),
joins AS (DELETE FROM task_joins WHERE task_id = ANY(ARRAY(SELECT id FROM old))),
events AS (DELETE FROM audit_events a USING old WHERE a.task_id = old.id),
keys AS (
  DELETE FROM idempotency_keys k
   USING old
   WHERE old.idempotency_key IS NOT NULL AND k.created_by = old.created_by AND k.key = old.idempotency_key
     AND NOT EXISTS (SELECT FROM tasks t WHERE t.id = ANY(k.task_ids) AND t.id NOT IN (SELECT id FROM old))
),
answered AS (
  DELETE FROM idempotency_keys WHERE answered_with IS NOT NULL AND answered_with = ANY(ARRAY(SELECT id FROM old))
)
DELETE FROM tasks t USING old WHERE t.id = old.id RETURNING t.id
