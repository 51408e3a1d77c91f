-- Stop the batches %(ids)s, which the caller holds, and those in them that nobody else holds: they take no more tasks, and what
-- waits in them is cancelled. What lies deeper is stopped when these are looked at. Returns those that were not stopped before:
-- they have to be looked at as they are now. Index: batches_inner.
WITH inner_ones AS MATERIALIZED (
  SELECT i.id, o.cancelled_at
    FROM batches o
    JOIN batches i ON i.parent_id = o.id
   WHERE o.id = ANY(%(ids)s::uuid[]) AND i.finished_at IS NULL AND NOT i.stopping
   ORDER BY i.id
     FOR NO KEY UPDATE OF i SKIP LOCKED
)
UPDATE batches b
   SET stopping = true, look = true, status = 'RUNNING', cancelled_at = coalesce(b.cancelled_at, s.cancelled_at),
       version = b.version + 1, updated_at = now()
  FROM (SELECT id, NULL::timestamptz AS cancelled_at FROM unnest(%(ids)s::uuid[]) AS u(id)
        UNION ALL SELECT id, cancelled_at FROM inner_ones) AS s
 WHERE b.id = s.id AND NOT b.stopping AND b.finished_at IS NULL
RETURNING b.id
