-- What lock_candidates.sql does, for tasks that need something of their worker: lock the first due ones of each of the given
-- (needs, queue, priority), as many as workers that meet the needs have room for. One that takes several slots fits into free
-- ones only, not into prefetch; the first is locked also where it does not fit while anything else might be given: slots may
-- have to be kept for it (``reserving``). ``waited``: for how many seconds it has been due and the first, 0 for the others.
--
-- Runs behind count_room.sql, whose setting scheduler.shares holds the shares of these pairs behind those of %(before)s
-- others: it knows pauses and limits. What workers own is counted from their floors on, as there.
-- Indexes: tasks_labelled, tasks_owned.
WITH places AS MATERIALIZED (
  SELECT p.needs_id, p.queue, p.priority, p.run_at, p.id, p.share
    FROM unnest(%(needs)s::int[], %(queues)s::text[], %(priorities)s::int[], %(from)s::text[]::timestamptz[], %(ids)s::uuid[],
                (nullif(current_setting('scheduler.shares', true), '')::int[])[%(before)s::int + 1:])
         AS p(needs_id, queue, priority, run_at, id, share)
   WHERE p.share > 0
),
met AS MATERIALIZED (
  SELECT m.worker_id, m.queues, m.needs_id
    FROM met_needs m
   WHERE m.state = 'ACTIVE' AND m.needs_id IN (SELECT needs_id FROM places)
),
rooms AS MATERIALIZED (
  SELECT w.worker_id, greatest(0, w.slots + w.prefetch - o.taken) AS room, greatest(0, w.slots - o.taken) AS free
    FROM worker_heartbeats w
    CROSS JOIN LATERAL (
      SELECT coalesce(sum(t.slots), 0)::int AS taken
        FROM tasks t
       WHERE t.worker_id = w.worker_id AND t.finished_at IS NULL
         AND t.assigned_at >= coalesce((%(floors)s::timestamptz[])[array_position(%(workers)s::uuid[], w.worker_id)],
                                       '-infinity')) AS o
   WHERE w.worker_id IN (SELECT worker_id FROM met)
),
shares AS MATERIALIZED (
  SELECT p.needs_id, p.queue, p.priority, p.run_at, p.id, n.given_at,
         least(p.share, (SELECT CASE WHEN n.slots = 1 THEN sum(r.room)
                                     ELSE greatest(sum(r.free / n.slots), least(1, max(r.room))) END
                           FROM met m JOIN rooms r ON r.worker_id = m.worker_id
                          WHERE m.needs_id = p.needs_id AND (m.queues IS NULL OR p.queue = ANY(m.queues)))) AS share
    FROM places p JOIN task_needs n ON n.id = p.needs_id
)
SELECT d.id AS task_id, p.queue, p.priority, d.run_at, d.concurrency_key, false AS suspect, d.target, p.needs_id, d.slots,
       CASE WHEN d.slots > 1 AND row_number() OVER (PARTITION BY p.needs_id, p.queue, p.priority ORDER BY d.run_at, d.id) = 1
            THEN extract(epoch FROM now() - greatest(d.run_at, p.given_at))::float8 ELSE 0 END AS waited
  FROM shares p
  CROSS JOIN LATERAL (
    SELECT t.id, t.run_at, t.concurrency_key, t.slots::int, (SELECT g.host FROM targets g WHERE g.host = t.target) AS target
      FROM tasks t
     WHERE t.needs_id IS NOT NULL AND t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 0
       AND t.crash_count = 0
       AND t.needs_id = p.needs_id AND t.queue = p.queue AND t.priority = p.priority AND t.run_at <= now()
       AND (t.run_at, t.id) >= (p.run_at, p.id)
       AND (t.expires_at IS NULL OR t.expires_at > now())
     ORDER BY t.run_at, t.id
     LIMIT p.share
       FOR NO KEY UPDATE SKIP LOCKED) AS d
 WHERE p.share > 0
