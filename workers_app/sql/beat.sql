-- One beat of one worker: raise its counter, and learn in the same trip all it must know. Returns no row when the worker
-- is DEAD, STOPPED or pruned. The update is HOT: no index holds a column it changes.
-- %(floor)s is where to begin to look at what it owns, as the last beat returned it: the index keeps entries of what has
-- ended for as long as some snapshot may need them.
--   timeline: which history of the database this is · assigned, running: what the database says it owns · cancels: held
--   tasks to stop · drops: held attempts that are not its own any more (its finish on the same attempt does not count:
--   that is its own doing) · unstarted: where a start has to begin to look, if something waits for one.
-- Indexes: primary keys, tasks_owned. Not the ORM: one trip, twice a second, on every worker.
WITH beaten AS (
  UPDATE worker_heartbeats
     SET beat = beat + 1, last_heartbeat_at = now(), running = %(running)s, prefetch = %(prefetch)s
   WHERE worker_id = %(worker_id)s AND state IN ('ACTIVE', 'DRAINING')
  RETURNING state
),
owned AS MATERIALIZED (
  SELECT count(*) FILTER (WHERE status = 'SCHEDULED') AS assigned, count(*) FILTER (WHERE status = 'RUNNING') AS running,
         min(assigned_at) AS oldest, min(assigned_at) FILTER (WHERE status = 'SCHEDULED') AS unstarted
    FROM tasks
   WHERE worker_id = %(worker_id)s AND finished_at IS NULL AND assigned_at >= %(floor)s::text::timestamptz
),
compared AS MATERIALIZED (
  SELECT h.id,
         t.id IS NULL OR t.attempt <> h.attempt OR t.worker_id IS DISTINCT FROM %(worker_id)s AS lost,
         t.cancel_requested_at IS NOT NULL AND t.finished_at IS NULL AS cancelled
    FROM unnest(%(ids)s::uuid[], %(attempts)s::int[]) AS h(id, attempt)
    LEFT JOIN tasks t ON t.id = h.id
)
SELECT b.state, database_timeline() AS timeline, o.assigned, o.running,
       ARRAY(SELECT id FROM compared WHERE cancelled AND NOT lost) AS cancels,
       ARRAY(SELECT id FROM compared WHERE lost) AS drops,
       (coalesce(o.oldest, now()) - interval '1 second')::text AS floor,
       (o.unstarted - interval '1 second')::text AS unstarted
  FROM beaten b CROSS JOIN owned o
