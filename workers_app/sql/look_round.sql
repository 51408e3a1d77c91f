-- A scheduler's round: raise its own heartbeat and learn, in one trip, which chores have something to do. The chores then
-- lock and look again. Returns one row: every live worker with its beat, and three hints.
-- Indexes: primary keys, tasks_owned (hopped from owner to owner), tasks_expiring.
WITH RECURSIVE me AS (
  INSERT INTO scheduler_heartbeats (scheduler_id, host, pid, version)
  VALUES (%(scheduler_id)s, %(host)s, %(pid)s, %(version)s)
  ON CONFLICT (scheduler_id) DO UPDATE SET last_heartbeat_at = now()
),
owners(worker_id) AS (
  (SELECT worker_id FROM tasks WHERE worker_id IS NOT NULL AND finished_at IS NULL ORDER BY worker_id LIMIT 1)
  UNION ALL
  SELECT (SELECT t.worker_id FROM tasks t
           WHERE t.worker_id > o.worker_id AND t.worker_id IS NOT NULL AND t.finished_at IS NULL
           ORDER BY t.worker_id LIMIT 1)
    FROM owners o
   WHERE o.worker_id IS NOT NULL
),
live AS MATERIALIZED (SELECT worker_id, beat FROM worker_heartbeats WHERE state IN ('ACTIVE', 'DRAINING'))
SELECT ARRAY(SELECT worker_id FROM live ORDER BY worker_id) AS workers,
       ARRAY(SELECT beat FROM live ORDER BY worker_id) AS beats,
       EXISTS (SELECT FROM owners o
                WHERE o.worker_id IS NOT NULL AND NOT EXISTS (SELECT FROM live l WHERE l.worker_id = o.worker_id))
         AS has_lost_tasks,
       EXISTS (SELECT FROM tasks
                WHERE expires_at IS NOT NULL AND finished_at IS NULL AND expires_at <= now() AND status <> 'RUNNING')
         AS has_expired_tasks,
       EXISTS (SELECT FROM owners o
                 JOIN tasks t ON t.worker_id = o.worker_id
                WHERE t.finished_at IS NULL AND t.status = 'SCHEDULED'
                  AND t.assigned_at < now() - make_interval(secs => %(stale_after)s))
         AS has_stale_assignments
