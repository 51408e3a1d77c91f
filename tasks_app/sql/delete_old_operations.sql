-- Delete bulk operations that were over more than %(age)s ago, %(limit)s at most, with the Idempotency-Keys that began them; what
-- they did stays in the audit trail. One that is stopped is not over. They are few, and are walked through by the primary key. Not
-- the ORM: schedulers run it.
WITH old AS MATERIALIZED (
  SELECT id FROM bulk_operations WHERE finished_at < now() - %(age)s::interval ORDER BY id LIMIT %(limit)s
),
keys AS (
  DELETE FROM idempotency_keys WHERE answered_with IS NOT NULL AND answered_with = ANY(ARRAY(SELECT id FROM old))
)
DELETE FROM bulk_operations WHERE id IN (SELECT id FROM old)
RETURNING id
