-- Lock the batches of the tasks %(ids)s and those they lie in, as far as nobody else holds one; returns the tasks of which somebody
-- does. Who asks has locked the tasks, and so must not wait. Indexes: the primary keys.
WITH RECURSIVE around(task_id, id) AS (
  SELECT id, batch_id FROM tasks WHERE id = ANY(%(ids)s::uuid[]) AND batch_id IS NOT NULL
  UNION
  SELECT a.task_id, b.parent_id FROM around a JOIN batches b ON b.id = a.id WHERE b.parent_id IS NOT NULL
),
held AS MATERIALIZED (
  SELECT id FROM batches WHERE id = ANY(ARRAY(SELECT id FROM around)) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
)
SELECT DISTINCT a.task_id
  FROM around a
 WHERE a.id NOT IN (SELECT id FROM held) AND EXISTS (SELECT FROM batches b WHERE b.id = a.id)
