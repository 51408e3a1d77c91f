-- Before tasks run again: lock the batches of the tasks %(ids)s and those they lie in, and open again the ones that were done; with
-- them the batches %(also)s are locked, and marked as having dependents, because the tasks are to wait for them again. All stay
-- locked until the caller's commit, so that nobody ends one meanwhile; before the tasks, and in id order, as everybody locks
-- batches. One that anybody has waited for is marked as well: a retry may let them wait again, and who adds to it has to know
-- (find_circle.sql). Returns those that there are, and which were opened. Indexes: the primary keys, task_edges_settled.
WITH RECURSIVE around(id) AS (
  SELECT batch_id FROM tasks WHERE id = ANY(%(ids)s::uuid[]) AND batch_id IS NOT NULL
  UNION
  SELECT b.parent_id FROM around a JOIN batches b ON b.id = a.id WHERE b.parent_id IS NOT NULL
),
held AS MATERIALIZED (
  SELECT id, finished_at IS NOT NULL AND id = ANY(ARRAY(SELECT id FROM around)) AS opened
    FROM batches
   WHERE id = ANY(ARRAY(SELECT id FROM around)) OR id = ANY(%(also)s::uuid[])
   ORDER BY id
     FOR NO KEY UPDATE
),
changed AS (
  UPDATE batches b
     SET status = CASE WHEN h.opened THEN 'RUNNING' ELSE b.status END,
         finished_at = CASE WHEN h.opened THEN NULL ELSE b.finished_at END,
         cancelled_at = CASE WHEN h.opened THEN NULL ELSE b.cancelled_at END,
         stopping = b.stopping AND NOT h.opened,
         has_dependents = b.has_dependents OR b.id = ANY(%(also)s::uuid[]) OR b.parent_id IS NOT NULL
                          OR EXISTS (SELECT FROM task_edges e WHERE e.parent_id = b.id AND length(e.outcome) > 0),
         version = b.version + CASE WHEN h.opened THEN 1 ELSE 0 END,
         updated_at = CASE WHEN h.opened THEN now() ELSE b.updated_at END
    FROM held h
   WHERE b.id = h.id AND (h.opened OR b.id = ANY(%(also)s::uuid[]))
)
SELECT id, opened FROM held
