-- Whether what tasks of the batch %(id)s are to wait for, the tasks and batches %(parents)s, waits for that batch, over whatever
-- others: then nothing of it would ever run. Also over edges whose outcome is known, because a retry opens those again. One caller
-- at a time, whose snapshot is taken behind the lock, or two at once could each close one half of a circle.
-- Indexes: the primary key of task_edges, tasks_batch_open, tasks_batch_ended, batches_inner.
WITH RECURSIVE above(id) AS (
  SELECT unnest(%(parents)s::uuid[])
  UNION
  SELECT n.id
    FROM above a
    CROSS JOIN LATERAL (
      SELECT e.parent_id AS id FROM task_edges e WHERE e.child_id = a.id
      UNION ALL
      SELECT t.id FROM tasks t WHERE t.batch_id = a.id AND t.finished_at IS NULL
      UNION ALL
      SELECT t.id FROM tasks t WHERE t.batch_id = a.id AND t.finished_at IS NOT NULL
      UNION ALL
      SELECT i.id FROM batches i WHERE i.parent_id = a.id) AS n
)
SELECT EXISTS (SELECT FROM above WHERE id = %(id)s) AS circle
