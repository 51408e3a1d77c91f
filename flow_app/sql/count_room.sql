-- Count the room of every live worker: one row each, its own row locked until the pass commits.
--
-- Runs right behind take_pass.sql in the same transaction, and finds nobody without the pass. The slots that a worker's tasks take are counted
-- from its floor on (``floors``), the one of %(floors)s that stands where it stands in %(workers)s; the next floor comes
-- back. How many tasks may be locked for each of the pairs %(queues)s is left in the setting scheduler.shares for the
-- statement behind it: queues take turns, so none can use more than its share in one pass, and what is left of the room
-- goes to the next pass. ``share`` is that of one queue in the room of workers that serve the same queues as this one.
-- ``limits``, the same in each row: how many more tasks queues with a limit may have assigned or running, of those queues,
-- and of all when suspects are looked for (%(suspects)s), whose queues nobody knows yet, by the kind of limit. NULL: none.
-- With them come, as kind ``age``, the seconds of a level of those queues whose priorities age, and a kind ``freeze`` while
-- one of types or targets is open: then the pass looks which of its candidates that is about.
--
-- Indexes: tasks_owned, tasks_limited. MATERIALIZED, so that no plan counts or locks more than once per row.
WITH live AS MATERIALIZED (
  -- KEY SHARE lets heartbeats through and holds off the DEAD mark; id order, so that two markers cannot deadlock with us.
  SELECT worker_id, queues, slots, slots + prefetch AS capacity
    FROM worker_heartbeats
   WHERE state = 'ACTIVE' AND current_setting('scheduler.pass', true) = 'held'
   ORDER BY worker_id
   FOR KEY SHARE
),
owned AS MATERIALIZED (
  -- Counted from the rows a worker owns: nothing to leak, exact because every assignment holds the pass.
  SELECT w.worker_id, w.queues, w.slots, w.capacity, o.taken, o.suspects, o.oldest
    FROM live w
    CROSS JOIN LATERAL (
      SELECT coalesce(sum(t.slots), 0)::int AS taken, count(*) FILTER (WHERE t.crash_count > 0)::int AS suspects,
             min(t.assigned_at) AS oldest
        FROM tasks t
       WHERE t.worker_id = w.worker_id AND t.finished_at IS NULL
         AND t.assigned_at >= coalesce((%(floors)s::timestamptz[])[array_position(%(workers)s::uuid[], w.worker_id)],
                                       '-infinity')) AS o
),
pairs AS MATERIALIZED (
  SELECT p.queue, p.place, NOT EXISTS (SELECT FROM stopped_queues q WHERE q.name = p.queue) AS open
    FROM unnest(%(queues)s::text[]) WITH ORDINALITY AS p(queue, place)
),
classes AS MATERIALIZED (
  SELECT c.queues, ceil(least(c.room, %(limit)s)::numeric / greatest(1, (
           SELECT count(DISTINCT p.queue) FROM pairs p
            WHERE p.open AND (c.queues IS NULL OR p.queue = ANY(c.queues)))))::int AS share
    FROM (SELECT queues, sum(greatest(capacity - taken, 0)) AS room FROM owned GROUP BY queues) AS c
),
limits AS MATERIALIZED (
  -- Counted from rows as well: they bear a stamp, because an index over all that is owned would cost every task.
  SELECT jsonb_object_agg(q.name, greatest(0, q.max_concurrency - h.tasks)) AS room
    FROM limited_queues q
    CROSS JOIN LATERAL (
      SELECT count(*)::int AS tasks FROM tasks t
       WHERE t.limited AND t.queue = q.name AND t.worker_id IS NOT NULL AND t.finished_at IS NULL) AS h
   WHERE q.name = ANY(%(queues)s::text[]) OR %(suspects)s
),
rates AS MATERIALIZED (
  SELECT jsonb_object_agg(r.name, r.tokens) AS room
    FROM (SELECT r.name, min(r.tokens) AS tokens FROM rated_queues r
           WHERE r.name = ANY(%(queues)s::text[]) OR %(suspects)s
           GROUP BY r.name) AS r
),
ages AS MATERIALIZED (
  SELECT jsonb_object_agg(name, priority_age_seconds) AS levels
    FROM queues
   WHERE priority_age_seconds IS NOT NULL AND (name = ANY(%(queues)s::text[]) OR %(suspects)s)
),
shares AS (
  SELECT array_agg(CASE WHEN p.open THEN least(coalesce((
           SELECT sum(c.share) FROM classes c WHERE c.queues IS NULL OR p.queue = ANY(c.queues)), 0),
           (l.room ->> p.queue)::int, (r.room ->> p.queue)::int)
         ELSE 0 END ORDER BY p.place) AS tasks
    FROM pairs p CROSS JOIN limits l CROSS JOIN rates r
)
SELECT o.worker_id, o.queues, o.slots, o.capacity, o.taken, o.suspects, c.share,
       (SELECT jsonb_object_agg(b.kind, b.room)
          FROM (SELECT 'queue' AS kind, room FROM limits UNION ALL SELECT 'rate', room FROM rates
                UNION ALL SELECT 'age', levels FROM ages
                UNION ALL SELECT 'freeze', (SELECT jsonb_build_object('narrow', 1) FROM open_freezes
                                             WHERE types <> '{}' OR targets <> '{}' LIMIT 1)) AS b
         WHERE b.room IS NOT NULL)::text AS limits,
       (coalesce(o.oldest, now()) - interval '1 second')::text AS floor
  FROM owned o
  JOIN classes c ON c.queues IS NOT DISTINCT FROM o.queues
 WHERE set_config('scheduler.shares', coalesce((SELECT tasks::text FROM shares), '{}'), true) IS NOT NULL
 ORDER BY o.worker_id
