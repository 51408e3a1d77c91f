-- Find the attempts that failed among the executions behind %(low)s up to %(high)s and that have no row in task_failures yet: timed
-- out, lost with their worker and given back at most once among them. ``code``: how the task ended, where the attempt alone does not say
-- (QUARANTINED). Locks nothing. Not the ORM: schedulers run it. Indexes: the primary keys of task_executions, tasks and task_failures.
SELECT x.task_id, x.attempt, x.finished_at AS at, x.type, t.queue,
       coalesce(CASE WHEN x.task_status = 'FAILED' AND t.finished_at = x.finished_at THEN t.end_reason END,
                x.error ->> 'code', x.status) AS code,
       left(coalesce(x.error ->> 'message', ''), %(longest)s) AS message
  FROM task_executions x
  JOIN tasks t ON t.id = x.task_id
 WHERE x.id > %(low)s AND x.id <= %(high)s
   AND (x.status IN ('FAILED', 'TIMED_OUT', 'LOST') OR x.task_status = 'FAILED')
   -- Not EXISTS, of which the planner makes a hash of all failures while it believes that there is none.
   AND (SELECT f.attempt FROM task_failures f WHERE f.task_id = x.task_id AND f.attempt = x.attempt) IS NULL
 ORDER BY x.id
