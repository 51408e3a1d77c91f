-- Delete up to %(limit)s freezes that were over more than %(age)s ago, with the Idempotency-Keys that made them; what they did
-- stays in the audit trail. They are few, and are walked through by the primary key. Not the ORM: schedulers run it.
WITH old AS MATERIALIZED (
  SELECT id FROM freezes WHERE ended_at < now() - %(age)s::interval ORDER BY id LIMIT %(limit)s
),
keys AS (
  DELETE FROM idempotency_keys WHERE answered_with IS NOT NULL AND answered_with = ANY(ARRAY(SELECT id FROM old))
)
DELETE FROM freezes WHERE id IN (SELECT id FROM old)
RETURNING id
