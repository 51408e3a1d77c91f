-- Clear the mark of those of the tasks %(ids)s, which the caller holds, that have no open edge, were told of, and whose batch was looked at: it
-- is in %(batches)s, which the caller holds, too, or there is none any more. A statement of its own, behind the lock, so that its snapshot has the edges
-- of whoever held them before. Returns how many, and whether any other ended task or batch has a mark.
-- Indexes: task_edges_open, tasks_ended_parents, batches_ended_parents, batches_to_look_at.
WITH cleared AS (
  UPDATE tasks t
     SET has_dependents = false
   WHERE t.id = ANY(%(ids)s::uuid[]) AND NOT t.notifies
     AND (t.batch_id IS NULL OR t.batch_id = ANY(%(batches)s::uuid[])
          OR NOT EXISTS (SELECT FROM batches b WHERE b.id = t.batch_id))
     AND NOT EXISTS (SELECT FROM task_edges e WHERE e.parent_id = t.id AND e.outcome IS NULL)
  RETURNING t.id
)
SELECT (SELECT count(*)::int FROM cleared) AS cleared,
       EXISTS (SELECT FROM tasks
                WHERE has_dependents AND finished_at IS NOT NULL AND id NOT IN (SELECT id FROM cleared))
       OR EXISTS (SELECT FROM batches WHERE has_dependents AND finished_at IS NOT NULL)
       OR EXISTS (SELECT FROM batches WHERE look) AS left
