-- One assignment pass for one class of workers (those that serve the same set of queues): match due tasks to room.
--
-- Runs right behind take_pass.sql in the same transaction, and does nothing without the pass. Returns one row: how many
-- tasks were newly parked behind their concurrency key, how many more could have been given away (``room``), when it
-- began; each worker of the class, how many it was given, and its next floor; each pair in which it could lock a task,
-- with the due time of the first of them. Never waits for a task's lock: whatever is locked is left for the next pass.
--
-- Where it looks (``floors``): what a worker owns is counted from its floor on, the one of %(floors)s that stands where it
-- stands in %(workers)s; a pair is read from %(from)s and %(ids)s on; heads it begins behind are %(locked)s.
--
-- Indexes: tasks_owned (room), tasks_due per given (queue, priority) pair, tasks_suspects, tasks_key_held and
-- tasks_key_waiting. MATERIALIZED everywhere, because a nested-loop plan may run a LIMIT … FOR UPDATE once per row.
WITH live AS MATERIALIZED (
  -- KEY SHARE lets heartbeats through and holds off the DEAD mark; id order, so that two markers cannot deadlock with us.
  SELECT worker_id, slots, prefetch
    FROM worker_heartbeats
   WHERE state = 'ACTIVE' AND queues IS NOT DISTINCT FROM %(class)s::text[]
     AND current_setting('scheduler.pass', true) = 'held'
   ORDER BY worker_id
   FOR KEY SHARE
),
owned AS MATERIALIZED (
  -- Counted from the rows a worker owns: nothing to leak, exact because every assignment holds the pass.
  SELECT w.worker_id, w.slots, w.slots + w.prefetch AS capacity, o.tasks, o.suspects, o.oldest
    FROM live w
    CROSS JOIN LATERAL (
      SELECT count(*)::int AS tasks, count(*) FILTER (WHERE t.crash_count > 0)::int AS suspects,
             min(t.assigned_at) AS oldest
        FROM tasks t
       WHERE t.worker_id = w.worker_id AND t.finished_at IS NULL
         AND t.assigned_at >= coalesce((%(floors)s::timestamptz[])[array_position(%(workers)s::uuid[], w.worker_id)],
                                       '-infinity')) AS o
),
room AS MATERIALIZED (
  SELECT worker_id, slots, capacity, tasks, suspects FROM owned WHERE tasks < capacity
),
budget AS MATERIALIZED (
  SELECT least(coalesce(sum(capacity - tasks), 0), %(limit)s)::int AS tasks,
         least(count(*) FILTER (WHERE suspects = 0), %(limit)s)::int AS suspects
    FROM room
),
served AS MATERIALIZED (
  SELECT p.queue, p.priority, p.run_at, p.id
    FROM unnest(%(queues)s::text[], %(priorities)s::int[], %(from)s::text[]::timestamptz[], %(ids)s::uuid[])
         AS p(queue, priority, run_at, id)
   WHERE NOT EXISTS (SELECT FROM paused_queues q WHERE q.name = p.queue)
),
share AS MATERIALIZED (
  -- Queues take turns, so no queue can use more than this in one pass; what is left of the room goes to the next pass.
  SELECT CASE WHEN b.tasks > 0 THEN ceil(b.tasks::numeric / greatest(1, (SELECT count(DISTINCT queue) FROM served)))
              ELSE 0 END::int AS tasks
    FROM budget b
),
seen AS MATERIALIZED (
  -- Locked while it is scanned: rows that somebody else holds are passed over, and those behind them take their place.
  SELECT d.id, d.queue, d.priority, d.run_at, d.concurrency_key, false AS suspect
    FROM served s
    CROSS JOIN LATERAL (
      SELECT t.id, t.queue, t.priority, t.run_at, t.concurrency_key
        FROM tasks t
       WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND NOT t.key_blocked AND t.crash_count = 0
         AND t.queue = s.queue AND t.priority = s.priority AND t.run_at <= now()
         AND (t.run_at, t.id) >= (s.run_at, s.id)
         AND (t.expires_at IS NULL OR t.expires_at > now())
       ORDER BY t.run_at, t.id
       LIMIT (SELECT tasks FROM share)
         FOR NO KEY UPDATE SKIP LOCKED) AS d
  UNION ALL
  -- Heads that passes begin behind, because somebody had locked them. By status, which is in no index: asked for what
  -- tasks_due is about, the planner of PostgreSQL 15 would walk over all that waits.
  SELECT d.id, d.queue, d.priority, d.run_at, d.concurrency_key, false
    FROM (
      SELECT t.id, t.queue, t.priority, t.run_at, t.concurrency_key
        FROM tasks t
       WHERE t.id = ANY(%(locked)s::uuid[])
         AND t.status = 'PENDING' AND NOT t.key_blocked AND t.crash_count = 0
         AND t.run_at <= now() AND (t.expires_at IS NULL OR t.expires_at > now())
         AND EXISTS (SELECT FROM served s WHERE s.queue = t.queue AND s.priority = t.priority)
         AND (SELECT tasks FROM share) > 0
         FOR NO KEY UPDATE OF t SKIP LOCKED) AS d
  UNION ALL
  SELECT d.id, d.queue, d.priority, d.run_at, d.concurrency_key, true
    FROM (
      SELECT t.id, t.queue, t.priority, t.run_at, t.concurrency_key
        FROM tasks t
       WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND NOT t.key_blocked AND t.crash_count > 0
         AND t.run_at <= now() AND (t.expires_at IS NULL OR t.expires_at > now())
         AND (%(class)s::text[] IS NULL OR t.queue = ANY(%(class)s::text[]))
         AND NOT EXISTS (SELECT FROM paused_queues q WHERE q.name = t.queue)
       ORDER BY t.priority DESC, t.run_at, t.id
       LIMIT (SELECT suspects FROM budget)
         FOR NO KEY UPDATE OF t SKIP LOCKED) AS d
),
turns AS MATERIALIZED (
  -- Priority orders tasks within a queue. Counted over all that was seen: a task that only waits for its key still has its
  -- turn, or those of a lower priority would overtake what lies behind it, out of sight.
  SELECT id, queue, concurrency_key, run_at, suspect,
         row_number() OVER (PARTITION BY queue, suspect ORDER BY priority DESC, run_at, id) AS turn
    FROM seen
),
keys AS MATERIALIZED (
  SELECT k.queue, k.concurrency_key, k.turn, holder.id AS holder
    FROM (SELECT queue, concurrency_key, min(turn) AS turn
            FROM turns WHERE concurrency_key IS NOT NULL GROUP BY 1, 2) AS k
    LEFT JOIN LATERAL (
      SELECT h.id FROM tasks h
       WHERE h.queue = k.queue AND h.concurrency_key = k.concurrency_key
         AND h.worker_id IS NOT NULL AND h.finished_at IS NULL
       LIMIT 1) AS holder ON true
),
firsts AS MATERIALIZED (
  -- The first due task of each free key, parked or not, so that a newcomer never overtakes.
  SELECT h.id, k.queue, k.turn
    FROM keys k
    CROSS JOIN LATERAL (
      SELECT t.id
        FROM tasks t
       WHERE t.queue = k.queue AND t.concurrency_key = k.concurrency_key
         AND t.worker_id IS NULL AND t.finished_at IS NULL
         AND t.run_at <= now() AND (t.expires_at IS NULL OR t.expires_at > now())
       ORDER BY t.priority DESC, t.run_at, t.id
       LIMIT 1) AS h
   WHERE k.holder IS NULL
),
heads AS MATERIALIZED (
  SELECT t.id, t.queue, t.concurrency_key, t.run_at, t.crash_count > 0 AS suspect, f.turn
    FROM firsts f
    JOIN tasks t ON t.id = f.id AND t.queue = f.queue
   WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.run_at <= now()
     FOR NO KEY UPDATE OF t SKIP LOCKED
),
ready AS MATERIALIZED (
  -- Queues take turns, the one that waited longest first, so none starves another.
  SELECT id, queue, concurrency_key, suspect,
         row_number() OVER (PARTITION BY suspect ORDER BY turn, run_at, id) AS place
    FROM (SELECT id, queue, concurrency_key, run_at, suspect, turn FROM turns WHERE concurrency_key IS NULL
          UNION ALL
          SELECT id, queue, concurrency_key, run_at, suspect, turn FROM heads) AS candidates
   WHERE suspect OR turn <= (SELECT tasks FROM share)
),
openings AS MATERIALIZED (
  -- Free slots before prefetch, and level by level, so that the load spreads.
  SELECT r.worker_id, n, n > r.slots AS beyond, first.takes_suspect,
         row_number() OVER (PARTITION BY first.takes_suspect ORDER BY n > r.slots, n, r.worker_id) AS place
    FROM room r
    CROSS JOIN LATERAL generate_series(r.tasks + 1, least(r.capacity, r.tasks + (SELECT count(*)::int FROM ready))) AS n
    CROSS JOIN LATERAL (SELECT r.suspects = 0 AND n = r.tasks + 1 AS takes_suspect) AS first
),
lanes AS MATERIALIZED (
  -- Arrays, because a subscript finds the opening of a place at once; a join on the place would be a nested loop.
  SELECT array_agg(worker_id ORDER BY place) FILTER (WHERE takes_suspect AND place <= s.ready) AS suspects,
         array_agg(worker_id ORDER BY beyond, n, worker_id) FILTER (WHERE NOT (takes_suspect AND place <= s.ready)) AS others
    FROM openings CROSS JOIN (SELECT count(*) AS ready FROM ready WHERE suspect) AS s
),
matches AS MATERIALIZED (
  SELECT r.id, r.queue, r.concurrency_key,
         CASE WHEN r.suspect THEN l.suspects[r.place] ELSE l.others[r.place] END AS worker_id
    FROM ready r CROSS JOIN lanes l
   WHERE r.suspect OR r.place <= (SELECT tasks FROM budget)
),
assigned AS (
  UPDATE tasks t
     SET status = 'SCHEDULED', worker_id = m.worker_id, assigned_at = now(), key_blocked = false,
         version = t.version + 1, updated_at = now()
    FROM matches m
   WHERE t.id = m.id AND m.worker_id IS NOT NULL
  RETURNING t.worker_id
),
held_keys AS MATERIALIZED (
  -- Parking is exact only while the holder cannot end unseen: lock it, or leave the key for the next pass.
  -- By its status, which is in no index: asked for its worker, the planner would walk over all that workers own.
  SELECT h.queue, h.concurrency_key
    FROM tasks h
   WHERE h.id = ANY(ARRAY(SELECT holder FROM keys WHERE holder IS NOT NULL))
     AND h.status IN ('SCHEDULED', 'RUNNING')
     FOR SHARE SKIP LOCKED
),
to_park AS MATERIALIZED (
  SELECT t.id
    FROM (SELECT queue, concurrency_key FROM held_keys
          UNION ALL
          SELECT queue, concurrency_key FROM matches WHERE concurrency_key IS NOT NULL AND worker_id IS NOT NULL) AS k
    CROSS JOIN LATERAL (
      SELECT w.id FROM tasks w
       WHERE w.queue = k.queue AND w.concurrency_key = k.concurrency_key
         AND w.worker_id IS NULL AND w.finished_at IS NULL AND NOT w.key_blocked AND w.run_at <= now()
         AND NOT EXISTS (SELECT FROM matches m WHERE m.id = w.id AND m.worker_id IS NOT NULL)
       ORDER BY w.priority DESC, w.run_at, w.id
       LIMIT 5000) AS waiting
    JOIN tasks t ON t.id = waiting.id
   WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.queue = k.queue
     FOR NO KEY UPDATE OF t SKIP LOCKED
),
parked AS (
  UPDATE tasks t SET key_blocked = true FROM to_park p WHERE t.id = p.id RETURNING t.id
),
given AS MATERIALIZED (
  SELECT worker_id, count(*)::int AS tasks FROM assigned GROUP BY worker_id
),
firsts_of_pairs AS (
  SELECT queue, priority, min(run_at)::text AS earliest FROM seen WHERE NOT suspect GROUP BY queue, priority
)
SELECT (SELECT count(*)::int FROM parked) AS parked,
       b.tasks - (SELECT coalesce(sum(tasks), 0) FROM given)::int AS room, now()::text AS began_at,
       coalesce(w.workers, '{}') AS workers, coalesce(w.given, '{}') AS given, coalesce(w.floors, '{}') AS floors,
       coalesce(p.queues, '{}') AS queues, coalesce(p.priorities, '{}') AS priorities,
       coalesce(p.earliest, '{}') AS earliest
  FROM budget b
  CROSS JOIN (
    SELECT array_agg(o.worker_id) AS workers,
           array_agg(coalesce((SELECT g.tasks FROM given g WHERE g.worker_id = o.worker_id), 0)) AS given,
           array_agg((coalesce(o.oldest, now()) - interval '1 second')::text) AS floors
      FROM owned o) AS w
  CROSS JOIN (
    SELECT array_agg(queue) AS queues, array_agg(priority::int) AS priorities, array_agg(earliest) AS earliest
      FROM firsts_of_pairs) AS p
