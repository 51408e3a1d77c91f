-- What there is of each of the given concurrency keys, of which the pass has seen %(wanted)s tasks: a row for each of the first
-- tasks that wait for it and may have one, parked or not, so that a newcomer never overtakes; and, of a key that somebody
-- holds or that nobody may have, a row with its limit, its holders and which of its places they have. So each key that is
-- free, most of them, is one row. What waits behind any other gate than that of its key is in nobody's way. A first task
-- that somebody else has locked, or that changed meanwhile, is left for the next pass. The limit of a queue is not
-- about the keys by which schedules keep their tasks from overlapping. ``tokens``: how many the rate of the queue for each key
-- has for this one; NULL: there is no such rate. %(ages)s: in how many seconds the priorities of their queues age by a level;
-- NULL: they do not.
--
-- Indexes: tasks_key_held, tasks_key_waiting.
WITH keys AS MATERIALIZED (
  SELECT k.queue, k.concurrency_key, k.wanted, k.age, l.most, l.tokens, held.holders, held.slots,
         greatest(0, least(k.wanted + 100, l.tokens, l.most - coalesce(cardinality(held.holders), 0))) AS looked_at
    FROM unnest(%(queues)b::text[], %(keys)b::text[], %(wanted)b::int[], %(ages)s::int[])
           AS k(queue, concurrency_key, wanted, age)
    LEFT JOIN queues q ON q.name = k.queue AND NOT starts_with(k.concurrency_key, 'schedule:')
    LEFT JOIN queue_keys e ON e.queue = k.queue AND e.key = k.concurrency_key
    CROSS JOIN LATERAL (
      SELECT CASE WHEN e.paused THEN 0 ELSE coalesce(e.max_concurrency, q.key_max_concurrency, 1) END AS most,
             CASE WHEN q.key_rate_limit IS NOT NULL
                  THEN (SELECT r.tokens FROM rated_key(k.queue, k.concurrency_key) AS r) END AS tokens) AS l
    CROSS JOIN LATERAL (
      SELECT array_agg(h.id) AS holders, array_agg(h.key_slot) AS slots FROM tasks h
       WHERE h.queue = k.queue AND h.concurrency_key = k.concurrency_key
         AND h.worker_id IS NOT NULL AND h.finished_at IS NULL) AS held
),
firsts AS MATERIALIZED (
  -- Those that wait for a worker of their own keep their places: they are not among the wanted ones, which go beside them.
  SELECT k.queue, k.concurrency_key, k.most, k.tokens, h.id
    FROM keys k
    CROSS JOIN LATERAL (
      SELECT l.id, l.common,
             count(*) FILTER (WHERE l.common)
               OVER (ORDER BY aged_at(l.run_at, l.priority, k.age), CASE WHEN k.age IS NULL THEN l.priority END DESC,
                              l.run_at, l.id) AS number
        FROM ((SELECT t.id, t.priority, t.run_at, t.needs_id IS NULL AND t.crash_count = 0 AS common
                 FROM tasks t
                WHERE t.queue = k.queue AND t.concurrency_key = k.concurrency_key
                  AND t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate IN (0, 1, 4, 6)
                  AND t.run_at <= now() AND (t.expires_at IS NULL OR t.expires_at > now()) AND k.age IS NULL
                ORDER BY t.priority DESC, t.run_at, t.id
                LIMIT k.looked_at)
              UNION ALL
              SELECT t.id, t.priority, t.run_at, t.needs_id IS NULL AND t.crash_count = 0
                FROM aged_firsts(k.queue, k.concurrency_key, k.age, '{0,1,4,6}', k.looked_at) AS f(id)
                JOIN tasks t ON t.id = f.id
               WHERE k.age IS NOT NULL) AS l) AS h
   WHERE h.number < k.wanted OR h.number = k.wanted AND h.common
),
heads AS MATERIALIZED (
  SELECT t.id, t.queue, t.concurrency_key, f.most, f.tokens, t.priority, t.run_at, t.crash_count > 0 AS suspect,
         (SELECT g.host FROM targets g WHERE g.host = t.target) AS target, t.needs_id, t.slots AS takes
    FROM firsts f
    JOIN tasks t ON t.id = f.id AND t.queue = f.queue
   WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate IN (0, 1, 4, 6) AND t.run_at <= now()
     FOR NO KEY UPDATE OF t SKIP LOCKED
)
SELECT k.queue, k.concurrency_key, k.most, k.tokens, k.holders, k.slots, NULL::uuid AS first, NULL::int AS priority,
       NULL::timestamptz AS run_at, NULL::boolean AS suspect, NULL::text AS target, NULL::int AS needs_id, NULL::int AS takes
  FROM keys k
 WHERE k.holders IS NOT NULL OR k.looked_at = 0
UNION ALL
SELECT h.queue, h.concurrency_key, h.most, h.tokens, NULL, NULL, h.id, h.priority, h.run_at, h.suspect, h.target, h.needs_id, h.takes
  FROM heads h
