-- Lock those of the tasks %(ids)s that match the filter of a bulk operation as they are now, and that nobody else holds, in id
-- order. Who holds a task is a worker, or a scheduler in a pass: nobody waits for it, the operation comes back to it. The condition
-- of the filter stands where the comment says. Index: the primary key.
SELECT id, type, status, priority, queue, concurrency_key, unique_key, worker_id,
       cancel_requested_at IS NOT NULL AS stopping,
       has_dependents OR batch_id IS NOT NULL OR concurrency_key IS NOT NULL OR worker_id IS NOT NULL AS awaited
  FROM tasks
 WHERE id = ANY(%(ids)s::uuid[]) AND true /* matches */
 ORDER BY id
   FOR NO KEY UPDATE SKIP LOCKED
