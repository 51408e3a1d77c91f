-- How many tasks that need something of their worker, and wait for nothing else, are due in the queues %(names)s, or fall due within
-- %(horizon)s seconds, by queue and needs, with the slots that each takes; and why workers that are meant could not run them, if so:
-- those that have %(labels)s, live ones, or such as might be started, which have these labels and as many slots as the largest
-- live one (%(slots)s while there is none). Without labels, while none is alive that serves the queue, any might be started.
--
-- Bounded: of all that waits so, %(limit)s tasks are looked at. Index: tasks_labelled. Not the ORM: it knows no jsonpath.
WITH seen AS MATERIALIZED (
  SELECT queue, needs_id, run_at FROM tasks
   WHERE needs_id IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0
   LIMIT %(limit)s
),
counted AS MATERIALIZED (
  SELECT queue, needs_id, count(*) FILTER (WHERE run_at <= now()) AS due,
         count(*) FILTER (WHERE run_at > now() AND run_at <= now() + make_interval(secs => %(horizon)s)) AS soon
    FROM seen WHERE queue = ANY(%(names)s::text[])
   GROUP BY queue, needs_id
),
meant AS MATERIALIZED (
  SELECT queues, labels, slots FROM worker_heartbeats WHERE state = 'ACTIVE' AND labels @> %(labels)s::jsonb
)
SELECT c.queue, n.slots, c.due, c.soon,
       CASE WHEN able.largest IS NULL THEN 'NO_WORKER_FOR_LABELS'
            WHEN able.largest < n.slots THEN 'NO_WORKER_LARGE_ENOUGH' END AS code
  FROM counted c
  JOIN task_needs n ON n.id = c.needs_id
  CROSS JOIN LATERAL (
    SELECT count(*) AS n, coalesce(max(m.slots), %(slots)s) AS largest,
           max(m.slots) FILTER (WHERE m.labels @@ n.condition) AS with_labels
      FROM meant m WHERE m.queues IS NULL OR c.queue = ANY(m.queues)) AS served
  CROSS JOIN LATERAL (
    SELECT greatest(served.with_labels,
                    CASE WHEN %(labels)s::jsonb @@ n.condition OR %(labels)s::jsonb = '{}' AND served.n = 0
                         THEN served.largest END) AS largest) AS able
