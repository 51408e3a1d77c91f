-- Forget processes that ended more than %(age)s seconds ago: STOPPED or DEAD workers that own nothing, silent schedulers.
WITH workers AS (
  DELETE FROM worker_heartbeats w
   WHERE w.state IN ('STOPPED', 'DEAD') AND w.state_changed_at < now() - make_interval(secs => %(age)s)
     AND NOT EXISTS (SELECT FROM tasks t WHERE t.worker_id = w.worker_id AND t.finished_at IS NULL)
  RETURNING 1
),
schedulers AS (
  DELETE FROM scheduler_heartbeats
   WHERE last_heartbeat_at < now() - make_interval(secs => %(age)s)
  RETURNING 1
)
SELECT (SELECT count(*) FROM workers) + (SELECT count(*) FROM schedulers)
