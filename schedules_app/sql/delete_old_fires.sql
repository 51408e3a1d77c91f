-- Forget a small batch of slots that were decided more than %(age)s ago. Index: fires_decided.
WITH old AS MATERIALIZED (
  SELECT id
    FROM schedule_fires
   WHERE decided_at < now() - %(age)s::interval
   ORDER BY decided_at
   LIMIT %(limit)s
     FOR UPDATE SKIP LOCKED
)
DELETE FROM schedule_fires f USING old WHERE f.id = old.id RETURNING f.id
