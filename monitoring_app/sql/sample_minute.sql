-- Note what was seen in this minute: what waits in queues, and how many slots are used, in the rows of one, ten and sixty
-- minutes of metric_minutes, each of which keeps the highest. Seen by two schedulers, a minute is the same: the highest of
-- both. The names are those that roll_up_minutes.sql gives rows, and so many more; whatever else was seen is one row.
-- The mark is locked so that names are given by one transaction at a time; while it is locked, nothing is noted.
-- Indexes: the primary key of metric_minutes, tasks_owned. Not the ORM: it locks, reads and writes in one trip.
WITH mark AS MATERIALIZED (
  SELECT FROM metric_marks WHERE name = 'minutes' FOR NO KEY UPDATE SKIP LOCKED
),
seen AS MATERIALIZED (
  SELECT q.name, q.waiting, q.oldest_due, q.place
    FROM mark
    CROSS JOIN unnest(%(names)s::text[], %(waiting)s::bigint[], %(oldest_due)s::float8[])
         WITH ORDINALITY AS q(name, waiting, oldest_due, place)
),
known AS MATERIALIZED (
  SELECT name FROM metric_minutes
   WHERE span = 60 AND at = date_trunc('hour', now(), 'UTC') AND kind = 'queue' AND name <> %(other)s
),
named AS MATERIALIZED (
  SELECT name FROM known
  UNION ALL
  (SELECT name FROM seen WHERE name <> %(other)s AND name NOT IN (SELECT name FROM known)
    ORDER BY place
    LIMIT greatest(0, %(most_queues)s - (SELECT count(*) FROM known)))
),
rows AS (
  SELECT 'queue' AS kind, CASE WHEN name IN (SELECT name FROM named) THEN name ELSE %(other)s END AS name,
         sum(waiting) AS waiting, max(oldest_due) AS oldest_due, NULL::int AS slots_used, NULL::int AS slots
    FROM seen
   GROUP BY 1, 2
  UNION ALL
  SELECT 'system', '', NULL, NULL,
         (SELECT coalesce(sum(t.slots), 0) FROM tasks t
           WHERE t.worker_id IS NOT NULL AND t.finished_at IS NULL AND t.status = 'RUNNING'),
         (SELECT coalesce(sum(w.slots), 0) FROM worker_heartbeats w
           WHERE w.state IN ('ACTIVE', 'DRAINING') AND w.last_heartbeat_at > now() - %(lease)s::interval)
    FROM mark
)
INSERT INTO metric_minutes AS m (span, at, kind, name, waiting, oldest_due, slots_used, slots)
SELECT s.span, date_bin(make_interval(mins => s.span), now(), '2000-01-01T00:00Z'), r.kind, r.name, r.waiting, r.oldest_due,
       r.slots_used, r.slots
  FROM rows r
  CROSS JOIN (VALUES (1), (10), (60)) AS s(span)
ON CONFLICT (span, at, kind, name) DO UPDATE
   SET waiting = greatest(m.waiting, excluded.waiting),
       oldest_due = greatest(m.oldest_due, excluded.oldest_due),
       slots_used = greatest(m.slots_used, excluded.slots_used),
       slots = greatest(m.slots, excluded.slots)
