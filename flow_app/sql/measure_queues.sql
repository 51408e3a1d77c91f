-- What is in each of the queues %(names)s: one row each, whatever is in it. Every count is bounded, and ``capped`` says that
-- one was cut off: at most %(limit)s due and as many later tasks of a queue, spread over its priorities, of which it looks at
-- %(priorities)s; %(limit)s behind each gate, but for that of the key, for which it looks at %(keyed)s tasks; and %(sample)s of the tasks that came or ended last, whoever they belong to.
--
-- ``soon`` are later tasks that fall due within %(horizon)s seconds; ``behind_keys`` due ones that others of their key come
-- before. ``came`` and ``ended`` are tasks in so many seconds (``came_in``, ``ended_in``): a minute, or as far back as the sample goes.
-- Indexes: tasks_due, hopped from priority to priority of each queue; tasks_labelled, of which %(limit)s are looked at, tasks_key_waiting, tasks_gated, tasks_suspects,
-- tasks_owned, tasks_ended, and the primary key, which is in the order of creation. Not the ORM: it has no lateral join.
WITH RECURSIVE names AS MATERIALIZED (SELECT DISTINCT name FROM unnest(%(names)s::text[]) AS n(name)),
heads(queue, priority, run_at, n) AS (
  SELECT names.name, head.priority, head.run_at, 1
    FROM names
    CROSS JOIN LATERAL (
      SELECT priority, run_at FROM tasks
       WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0 AND needs_id IS NULL AND queue = names.name
       ORDER BY priority DESC, run_at, id LIMIT 1) AS head
  UNION ALL
  SELECT heads.queue, head.priority, head.run_at, heads.n + 1
    FROM heads
    CROSS JOIN LATERAL (
      SELECT priority, run_at FROM tasks
       WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0 AND needs_id IS NULL
         AND queue = heads.queue AND priority < heads.priority
       ORDER BY priority DESC, run_at, id LIMIT 1) AS head
   WHERE heads.n < %(priorities)s
),
pairs AS MATERIALIZED (
  SELECT h.*, 1 + %(limit)s / count(*) OVER (PARTITION BY h.queue) AS most FROM heads h
),
open AS MATERIALIZED (
  SELECT p.queue, min(p.run_at) FILTER (WHERE p.run_at <= now()) AS oldest, sum(due.n)::bigint AS due, sum(later.n)::bigint AS later,
         sum(later.soon)::bigint AS soon,
         bool_or(due.n >= p.most OR later.n >= p.most OR p.n >= %(priorities)s) AS capped
    FROM pairs p
    CROSS JOIN LATERAL (
      SELECT count(*) AS n FROM (
        SELECT FROM tasks
         WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0 AND needs_id IS NULL
           AND queue = p.queue AND priority = p.priority AND run_at <= now()
         LIMIT p.most) AS counted) AS due
    CROSS JOIN LATERAL (
      SELECT count(*) AS n, count(*) FILTER (WHERE run_at <= now() + make_interval(secs => %(horizon)s)) AS soon FROM (
        SELECT run_at FROM tasks
         WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0 AND needs_id IS NULL
           AND queue = p.queue AND priority = p.priority AND run_at > now()
         ORDER BY run_at, id LIMIT p.most) AS counted) AS later
   GROUP BY p.queue
),
labelled AS MATERIALIZED (
  SELECT queue, count(*) AS n, count(*) FILTER (WHERE run_at <= now()) AS due, min(run_at) FILTER (WHERE run_at <= now()) AS oldest,
         count(*) FILTER (WHERE run_at > now() AND run_at <= now() + make_interval(secs => %(horizon)s)) AS soon
    FROM (SELECT queue, run_at FROM tasks
           WHERE needs_id IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0
           LIMIT %(limit)s) AS counted
   GROUP BY queue
),
suspects AS MATERIALIZED (
  SELECT queue, count(*) AS n, count(*) FILTER (WHERE run_at <= now()) AS due, min(run_at) FILTER (WHERE run_at <= now()) AS oldest
    FROM tasks
   WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count > 0 AND queue = ANY(%(names)s::text[])
   GROUP BY queue
),
owned AS MATERIALIZED (
  SELECT queue, count(*) FILTER (WHERE status = 'RUNNING') AS running, count(*) FILTER (WHERE status = 'SCHEDULED') AS scheduled,
         sum(slots)::int AS slots
    FROM tasks
   WHERE worker_id IS NOT NULL AND finished_at IS NULL AND queue = ANY(%(names)s::text[])
   GROUP BY queue
),
newest AS MATERIALIZED (SELECT queue, created_at AS at FROM tasks ORDER BY id DESC LIMIT %(sample)s),
latest AS MATERIALIZED (
  SELECT queue, finished_at AS at FROM tasks WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT %(sample)s
),
spans AS MATERIALIZED (
  SELECT (SELECT span FROM (SELECT CASE WHEN count(*) < %(sample)s THEN 60
                                   ELSE least(60, greatest(0.001, extract(epoch FROM now() - min(at)))) END AS span FROM newest) AS s) AS came_in,
         (SELECT span FROM (SELECT CASE WHEN count(*) < %(sample)s THEN 60
                                   ELSE least(60, greatest(0.001, extract(epoch FROM now() - min(at)))) END AS span FROM latest) AS s) AS ended_in
)
SELECT names.name, coalesce(open.due, 0) + coalesce(labelled.due, 0) + coalesce(suspects.due, 0) AS due,
       coalesce(open.due, 0) + coalesce(open.later, 0) + coalesce(labelled.n, 0) + coalesce(suspects.n, 0) AS ungated,
       coalesce(open.capped, false) OR coalesce((SELECT sum(n) FROM labelled), 0) >= %(limit)s OR keyed.seen >= %(keyed)s OR coalesce(gated.capped, false) AS capped,
       extract(epoch FROM now() - least(open.oldest, labelled.oldest, suspects.oldest))::float8 AS oldest_due_seconds,
       coalesce(owned.running, 0) AS running, coalesce(owned.scheduled, 0) AS scheduled, coalesce(owned.slots, 0) AS owned_slots,
       coalesce(open.soon, 0) + coalesce(labelled.soon, 0) AS soon, keyed.behind AS behind_keys, keyed.parked, gated.counts AS gated,
       coalesce(came.n, 0) AS came, spans.came_in::float8, coalesce(ended.n, 0) AS ended, spans.ended_in::float8
  FROM names
  CROSS JOIN spans
  LEFT JOIN open ON open.queue = names.name
  LEFT JOIN labelled ON labelled.queue = names.name
  LEFT JOIN suspects ON suspects.queue = names.name
  LEFT JOIN owned ON owned.queue = names.name
  LEFT JOIN (SELECT queue, count(*) AS n FROM newest WHERE at > now() - interval '1 minute' GROUP BY queue) AS came
    ON came.queue = names.name
  LEFT JOIN (SELECT queue, count(*) AS n FROM latest WHERE at > now() - interval '1 minute' GROUP BY queue) AS ended
    ON ended.queue = names.name
  CROSS JOIN LATERAL (
    -- Bounded by what is seen, not by what is found: tasks whose key is free may be a million.
    SELECT count(*) AS seen, count(*) FILTER (WHERE k.gate = 1) AS parked,
           count(*) FILTER (WHERE k.ready) - count(DISTINCT k.concurrency_key) FILTER (WHERE k.ready) AS behind
      FROM (SELECT gate, concurrency_key, gate = 0 AND crash_count = 0 AND run_at <= now() AS ready FROM tasks
             WHERE worker_id IS NULL AND finished_at IS NULL AND concurrency_key IS NOT NULL AND queue = names.name
             LIMIT %(keyed)s) AS k) AS keyed
  CROSS JOIN LATERAL (
    SELECT array_agg(behind.n ORDER BY g.gate) AS counts, bool_or(behind.n >= %(limit)s) AS capped
      FROM unnest(%(gates)s::int[]) AS g(gate)
      CROSS JOIN LATERAL (
        SELECT count(*) AS n FROM (
          SELECT FROM tasks
           WHERE gate > 1 AND worker_id IS NULL AND finished_at IS NULL AND queue = names.name AND gate = g.gate
           LIMIT %(limit)s) AS counted) AS behind) AS gated
