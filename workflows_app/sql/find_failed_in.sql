-- The tasks of the batch %(id)s, and of those in it, that have FAILED or were cancelled for that; with %(all)s all that were
-- cancelled. Indexes: tasks_batch_ended, batches_inner.
WITH RECURSIVE inside(id) AS (
  SELECT %(id)s::uuid
  UNION
  SELECT i.id FROM inside o JOIN batches i ON i.parent_id = o.id
)
SELECT t.id
  FROM inside i
  JOIN tasks t ON t.batch_id = i.id AND t.finished_at IS NOT NULL AND t.unsuccessful
 WHERE %(all)s OR t.status = 'FAILED' OR t.end_reason IN ('DEPENDENCY_FAILED', 'BATCH_FAILED')
