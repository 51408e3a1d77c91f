-- The tasks that ended without having run because of the tasks and batches %(ids)s, or of one another; and those of %(ids)s that are
-- tasks and have ended unsuccessful themselves. Over edges that say so, from a task to its batch, and from a batch to the one
-- it lies in: what runs again opens these again. Index: task_edges_settled.
WITH RECURSIVE below(id) AS (
  SELECT unnest(%(ids)s::uuid[])
  UNION
  SELECT n.id
    FROM below w
    CROSS JOIN LATERAL (
      SELECT t.id
        FROM task_edges e
        JOIN tasks t ON t.id = e.child_id
       WHERE e.parent_id = w.id AND length(e.outcome) > 0 AND e.outcome <> 'SUCCESS'
         AND t.finished_at IS NOT NULL AND t.end_reason = 'DEPENDENCY_FAILED'
      UNION ALL
      SELECT t.batch_id FROM tasks t WHERE t.id = w.id AND t.batch_id IS NOT NULL
      UNION ALL
      SELECT b.parent_id FROM batches b WHERE b.id = w.id AND b.parent_id IS NOT NULL) AS n
)
SELECT t.id, t.type, t.queue, t.concurrency_key
  FROM below w
  JOIN tasks t ON t.id = w.id
 WHERE t.finished_at IS NOT NULL AND t.unsuccessful
 ORDER BY t.id
