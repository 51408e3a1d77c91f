-- How the batches %(ids)s have ended, which the caller holds and in which nothing is open: whether anything has FAILED in each, and
-- whether anything was CANCELLED. A task that never ran because those of its own batch ended as they did counts for nothing: it
-- was not needed, or what kept it counts itself. One that never ran for something outside does count.
-- Indexes: tasks_batch_ended, batches_inner, task_edges_outcome.
SELECT b.id,
       EXISTS (SELECT FROM tasks t
                WHERE t.batch_id = b.id AND t.finished_at IS NOT NULL AND t.unsuccessful AND t.status = 'FAILED')
       OR EXISTS (SELECT FROM batches i WHERE i.parent_id = b.id AND i.status = 'FAILED') AS failed,
       EXISTS (SELECT FROM tasks t
                WHERE t.batch_id = b.id AND t.finished_at IS NOT NULL AND t.unsuccessful AND t.status = 'CANCELLED'
                  AND (t.end_reason IS DISTINCT FROM 'DEPENDENCY_FAILED'
                       OR EXISTS (SELECT FROM task_edges e
                                    JOIN task_joins j ON j.task_id = e.child_id
                                   WHERE e.child_id = t.id AND e.outcome IN ('FAILED', 'CANCELLED') AND j.run_if <> 'any_failed'
                                     AND NOT EXISTS (SELECT FROM tasks p WHERE p.id = e.parent_id AND p.batch_id = b.id))))
       OR EXISTS (SELECT FROM batches i WHERE i.parent_id = b.id AND i.status = 'CANCELLED') AS cancelled,
       b.cancelled_at IS NOT NULL AS was_cancelled
  FROM batches b
 WHERE b.id = ANY(%(ids)s::uuid[])
