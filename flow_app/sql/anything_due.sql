-- Whether anything is due, assigned or running for a worker that serves %(queues)s (NULL: every queue). What waits for a
-- key that another worker holds, or for a rate or a target, counts: its turn will come. What waits for other tasks or for
-- people does not, nor what needs something that this worker does not have. Indexes: tasks_owned, tasks_due, tasks_labelled,
-- tasks_suspects, tasks_key_waiting, tasks_gated, one branch each.
WITH waiting AS (
  SELECT queue, run_at, needs_id FROM tasks
   WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0 AND needs_id IS NULL
  UNION ALL
  SELECT queue, run_at, needs_id FROM tasks
   WHERE needs_id IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0
     AND needs_id IN (SELECT m.needs_id FROM met_needs m WHERE m.worker_id = %(worker_id)s)
  UNION ALL
  SELECT queue, run_at, needs_id FROM tasks
   WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count > 0
  UNION ALL
  SELECT queue, run_at, needs_id FROM tasks
   WHERE worker_id IS NULL AND finished_at IS NULL AND concurrency_key IS NOT NULL AND gate = 1
  UNION ALL
  SELECT queue, run_at, needs_id FROM tasks
   WHERE worker_id IS NULL AND finished_at IS NULL AND gate > 1 AND gate IN (4, 5, 6)
)
SELECT EXISTS (SELECT FROM tasks WHERE worker_id = %(worker_id)s AND finished_at IS NULL)
    OR EXISTS (SELECT FROM waiting w
                WHERE w.run_at <= now() AND (%(queues)s::text[] IS NULL OR w.queue = ANY(%(queues)s::text[]))
                  AND NOT EXISTS (SELECT FROM stopped_queues q WHERE q.name = w.queue)
                  AND (w.needs_id IS NULL
                       OR w.needs_id IN (SELECT m.needs_id FROM met_needs m WHERE m.worker_id = %(worker_id)s)))
