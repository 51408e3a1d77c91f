-- Hold the task %(task_id)s while the attempt %(attempt)s that started at %(started_at)s is the one it runs; no row otherwise. What ends
-- an attempt or takes it away updates the row, and so waits for this transaction; if it came first, this statement waits for
-- it, looks again, and finds nothing. Others who ask by the same token share the lock. Index: the primary key.
SELECT batch_id, type, created_by
  FROM tasks
 WHERE id = %(task_id)s AND attempt = %(attempt)s AND started_at = %(started_at)s AND status = 'RUNNING'
   FOR SHARE
