-- Delete a small batch of batches that ended with one of %(statuses)s more than %(age)s ago, with their events and the idempotency
-- keys they were made with. One is kept as long as a task of it, a batch in it, or somebody who does not know of its end.
-- Indexes: batches_ended, tasks_batch_open, tasks_batch_ended, batches_inner, audit_target.
WITH old AS MATERIALIZED (
  SELECT b.id, b.created_by, b.idempotency_key
    FROM batches b
   WHERE b.finished_at > '-infinity' AND b.finished_at < now() - %(age)s::interval
     AND b.status = ANY(%(statuses)s::text[]) AND NOT b.has_dependents
     AND NOT EXISTS (SELECT FROM tasks t WHERE t.batch_id = b.id AND t.finished_at IS NULL)
     AND NOT EXISTS (SELECT FROM tasks t WHERE t.batch_id = b.id AND t.finished_at IS NOT NULL)
     AND NOT EXISTS (SELECT FROM batches i WHERE i.parent_id = b.id)
   ORDER BY b.finished_at
   LIMIT %(limit)s
     FOR UPDATE SKIP LOCKED
),
events AS (
  DELETE FROM audit_events WHERE task_id IS NULL AND target = ANY(ARRAY(SELECT 'batch:' || id FROM old))
),
keys AS (
  DELETE FROM idempotency_keys k USING old
   WHERE old.idempotency_key IS NOT NULL AND k.created_by = old.created_by AND k.key = old.idempotency_key
)
DELETE FROM batches b USING old WHERE b.id = old.id RETURNING b.id
