-- Lock the batches %(ids)s and mark them as having dependents; returns those that there are, and whether each has ended. With them
-- %(own)s is locked, to which the tasks are added that are to wait, and those it lies in: all in id order, so that two who add
-- to each other's batches wait and do not deadlock. The lock is what keeps a mark from being cleared before the edges are there.
-- Index: the primary key.
WITH RECURSIVE around(id) AS (
  SELECT %(own)s::uuid
  UNION
  SELECT b.parent_id FROM around a JOIN batches b ON b.id = a.id WHERE b.parent_id IS NOT NULL
),
held AS MATERIALIZED (
  SELECT id, finished_at IS NOT NULL AS ended, has_dependents
    FROM batches
   WHERE id = ANY(%(ids)s::uuid[]) OR id = ANY(ARRAY(SELECT id FROM around))
   ORDER BY id
     FOR NO KEY UPDATE
),
wanted AS (SELECT * FROM held WHERE id = ANY(%(ids)s::uuid[])),
marked AS (UPDATE batches b SET has_dependents = true FROM wanted w WHERE b.id = w.id AND NOT w.has_dependents)
SELECT id, ended FROM wanted
