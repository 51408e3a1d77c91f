-- Delete rows beside tasks that retention has deleted, among %(limit)s deliveries from behind %(after)s on; returns the last of them
-- (NULL: there are no more) and how many were deleted. Index: the primary keys. Not the ORM: a walk in one trip.
WITH seen AS MATERIALIZED (SELECT id FROM deliveries WHERE id > %(after)s ORDER BY id LIMIT %(limit)s),
deleted AS (
  DELETE FROM deliveries d
   WHERE d.id = ANY(ARRAY(SELECT id FROM seen)) AND NOT EXISTS (SELECT FROM tasks t WHERE t.id = d.id)
  RETURNING d.id
)
SELECT (SELECT max(id::text)::uuid FROM seen) AS last, (SELECT count(*)::int FROM deleted) AS deleted
