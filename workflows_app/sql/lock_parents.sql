-- Lock those of the ended tasks %(ids)s that nobody else holds, and return them for the statement behind it. Whoever makes a task
-- that depends on one of them holds it until the edges are there.
SELECT id
  FROM tasks
 WHERE id = ANY(%(ids)s::uuid[]) AND has_dependents AND finished_at IS NOT NULL
 ORDER BY id
   FOR NO KEY UPDATE SKIP LOCKED
