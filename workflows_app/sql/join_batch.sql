-- Hold the batch %(id)s, and those it lies in, while tasks or batches are added to it: others may add at the same time, and nobody
-- ends or stops it. In id order, as everybody locks batches. Returns the batch itself and whether anybody waits for it or for
-- those it lies in. Index: the primary key.
WITH RECURSIVE around(id) AS (
  SELECT %(id)s::uuid
  UNION
  SELECT b.parent_id FROM around a JOIN batches b ON b.id = a.id WHERE b.parent_id IS NOT NULL
),
held AS MATERIALIZED (
  SELECT id, status, stopping, depth, has_dependents
    FROM batches
   WHERE id = ANY(ARRAY(SELECT id FROM around))
   ORDER BY id
     FOR SHARE
)
SELECT status, stopping, depth, (SELECT bool_or(has_dependents) FROM held) AS awaited FROM held WHERE id = %(id)s
