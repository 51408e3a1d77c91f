-- Lock the tasks %(ids)s and mark them as having dependents; returns those that there are, and whether each has ended.
-- In id order, like every statement that locks more than one task. The lock is what keeps a mark from being cleared
-- before the edges are there (clear_parents.sql). Index: the primary key.
WITH held AS MATERIALIZED (
  SELECT id, finished_at IS NOT NULL AS ended, has_dependents
    FROM tasks
   WHERE id = ANY(%(ids)s::uuid[])
   ORDER BY id
     FOR NO KEY UPDATE
),
marked AS (UPDATE tasks t SET has_dependents = true FROM held h WHERE t.id = h.id AND NOT h.has_dependents)
SELECT id, ended FROM held
