-- Take the bulk operation whose next piece has been due for longest, and that no other scheduler has, until the caller's
-- transaction ends. One that would be due in a minute or later was put off by a clock that was set back since: no rate
-- puts a piece off for so long. Not the ORM: schedulers run it. Index: bulk_operations_due.
SELECT id, action, filter, priority, queue, position, before, held, barred, skips, asked_by, reason, rate_per_second
  FROM bulk_operations
 WHERE state = 'RUNNING' AND (due_at <= now() OR due_at > now() + interval '1 minute')
 ORDER BY due_at
 LIMIT 1
   FOR NO KEY UPDATE SKIP LOCKED
