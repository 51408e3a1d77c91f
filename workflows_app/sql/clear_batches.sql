-- Clear the marks of batches that the caller holds: of %(looked)s, which were looked at as they are, the one that says so, unless
-- something is left to be stopped; and of %(done)s, which were done before that, the one that says that others wait, when it has no
-- open edge and the batch it lies in is one of %(held)s, which were looked at. Returns how many. A statement of its own, behind the
-- lock, as clear_parents.
-- Indexes: tasks_batch_open, batches_inner, task_edges_open.
WITH seen AS MATERIALIZED (
  SELECT b.id,
         b.look AND b.id <> ALL(%(looked)s::uuid[])
         OR b.look AND b.stopping AND b.finished_at IS NULL
         AND (EXISTS (SELECT FROM tasks t
                       WHERE t.batch_id = b.id AND t.finished_at IS NULL AND t.status IN ('PENDING', 'SCHEDULED'))
              OR EXISTS (SELECT FROM batches i WHERE i.parent_id = b.id AND i.finished_at IS NULL AND NOT i.stopping)) AS look,
         b.has_dependents
         AND (b.finished_at IS NULL OR b.id <> ALL(%(done)s::uuid[])
              OR EXISTS (SELECT FROM task_edges e WHERE e.parent_id = b.id AND e.outcome IS NULL)
              OR b.parent_id IS NOT NULL AND b.parent_id <> ALL(%(held)s::uuid[])) AS has_dependents
    FROM batches b
   WHERE b.id = ANY(%(held)s::uuid[])
)
UPDATE batches b
   SET look = s.look, has_dependents = s.has_dependents
  FROM seen s
 WHERE b.id = s.id AND (b.look, b.has_dependents) IS DISTINCT FROM (s.look, s.has_dependents)
RETURNING b.id
