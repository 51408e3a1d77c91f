-- Clear the mark of those of the tasks %(ids)s, which the caller holds, that have no open edge and were told of. A statement of its own, behind the
-- lock, so that its snapshot has the edges of whoever held them before. Returns how many, and whether any other ended task
-- has a mark. Indexes: task_edges_open, tasks_ended_parents.
WITH cleared AS (
  UPDATE tasks t
     SET has_dependents = false
   WHERE t.id = ANY(%(ids)s::uuid[]) AND NOT t.notifies
     AND NOT EXISTS (SELECT FROM task_edges e WHERE e.parent_id = t.id AND e.outcome IS NULL)
  RETURNING t.id
)
SELECT (SELECT count(*)::int FROM cleared) AS cleared,
       EXISTS (SELECT FROM tasks
                WHERE has_dependents AND finished_at IS NOT NULL AND id NOT IN (SELECT id FROM cleared)) AS left
