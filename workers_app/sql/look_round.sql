-- A scheduler's round: raise its own heartbeat and learn, in one trip, which chores have something to do. The chores then
-- lock and look again. Returns one row: every live worker with its beat and the next floor of what it owns, and five hints.
--
-- tasks_owned keeps entries of what has ended for as long as some snapshot may need them. So what a live worker owns is
-- looked at from its floor on, the one of %(floors)s that stands where it stands in %(workers)s; and what others own is
-- looked for between each live worker and the next, where no live one has left any.
-- Indexes: primary keys, tasks_owned, tasks_expiring, tasks_ended_parents, bulk_operations_due,
-- batches_ended_parents, batches_to_look_at, tasks_approval.
WITH me AS (
  INSERT INTO scheduler_heartbeats (scheduler_id, host, pid, version)
  VALUES (%(scheduler_id)s, %(host)s, %(pid)s, %(version)s)
  ON CONFLICT (scheduler_id) DO UPDATE SET last_heartbeat_at = now()
),
live AS MATERIALIZED (SELECT worker_id, beat FROM worker_heartbeats WHERE state IN ('ACTIVE', 'DRAINING')),
gaps AS MATERIALIZED (
  SELECT worker_id AS above, lead(worker_id, 1, 'ffffffff-ffff-ffff-ffff-ffffffffffff') OVER (ORDER BY worker_id) AS below
    FROM (SELECT worker_id FROM live UNION ALL SELECT '00000000-0000-0000-0000-000000000000'::uuid) AS bounds
),
owned AS MATERIALIZED (
  SELECT l.worker_id, l.beat, oldest.assigned_at AS oldest,
         EXISTS (SELECT FROM tasks t
                  WHERE t.worker_id = l.worker_id AND t.finished_at IS NULL AND t.status = 'SCHEDULED'
                    AND t.assigned_at >= f.floor AND t.assigned_at < now() - make_interval(secs => %(stale_after)s))
           AS has_stale
    FROM live l
    CROSS JOIN LATERAL (
      SELECT coalesce((%(floors)s::text[]::timestamptz[])[array_position(%(workers)s::uuid[], l.worker_id)], '-infinity')
             AS floor) AS f
    LEFT JOIN LATERAL (
      SELECT t.assigned_at
        FROM tasks t
       WHERE t.worker_id = l.worker_id AND t.finished_at IS NULL AND t.assigned_at >= f.floor
       ORDER BY t.assigned_at
       LIMIT 1) AS oldest ON true
)
SELECT ARRAY(SELECT worker_id FROM owned ORDER BY worker_id) AS workers,
       ARRAY(SELECT beat FROM owned ORDER BY worker_id) AS beats,
       ARRAY(SELECT (coalesce(oldest, now()) - interval '1 second')::text FROM owned ORDER BY worker_id) AS floors,
       EXISTS (SELECT FROM gaps g CROSS JOIN LATERAL (
                 SELECT FROM tasks t
                  WHERE t.worker_id > g.above AND t.worker_id < g.below AND t.finished_at IS NULL
                  LIMIT 1) AS lost)
         AS has_lost_tasks,
       EXISTS (SELECT FROM tasks
                WHERE expires_at IS NOT NULL AND finished_at IS NULL AND expires_at <= now() AND status <> 'RUNNING')
         AS has_expired_tasks,
       EXISTS (SELECT FROM owned WHERE has_stale) AS has_stale_assignments,
       EXISTS (SELECT FROM tasks WHERE has_dependents AND finished_at IS NOT NULL)
       OR EXISTS (SELECT FROM batches WHERE has_dependents AND finished_at IS NOT NULL)
       OR EXISTS (SELECT FROM batches WHERE look) AS has_ended_parents,
       EXISTS (SELECT FROM bulk_operations WHERE state = 'RUNNING') AS has_bulk_operations,
       EXISTS (SELECT FROM tasks WHERE approval_asked_at IS NOT NULL AND finished_at IS NULL AND approval_ends_at <= now())
         AS has_late_approvals
