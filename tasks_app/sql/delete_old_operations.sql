-- Delete bulk operations that were over more than %(age)s ago, %(limit)s at most; what they did stays in the audit trail. One
-- that is stopped is not over. They are few, and are walked through by the primary key. Not the ORM: schedulers run it.
DELETE FROM bulk_operations
 WHERE id IN (SELECT id FROM bulk_operations WHERE finished_at < now() - %(age)s::interval ORDER BY id LIMIT %(limit)s)
RETURNING id
