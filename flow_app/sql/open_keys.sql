-- Open the gate for what waits for a token of its concurrency key: of the keys whose bucket is to be looked at now, at most
-- %(limit)s, as many tasks of each as it has room and tokens for, by priority, then due time. Of a queue that has no rate
-- for its keys any more, what waits for one, 1,000 at once. Returns how many buckets were looked at, how many tasks were
-- opened, and in how many seconds the next one is to be looked at.
--
-- A bucket is looked at again when its next token comes, as long as something waits for that alone. Where a task of the key
-- is in sight, the pass that meets it says so (charge_key_buckets, park_behind_rates); where the key is full, the end of its
-- holder brings the next one in sight (trigger tasks_release_key). May be called at any time by anybody: what was opened
-- too soon is parked again. Never waits for a lock.
-- Indexes: key_buckets_opening, tasks_key_held, tasks_key_waiting, tasks_gated.
WITH due AS MATERIALIZED (
  SELECT b.id, b.queue, b.key, b.opens_at
    FROM key_buckets b
   WHERE b.opens_at <= now()
   ORDER BY b.opens_at
   LIMIT %(limit)s
     FOR NO KEY UPDATE SKIP LOCKED
),
room AS MATERIALIZED (
  -- A bucket that a pass has changed since this statement began was read as it is, and is left for the next look: what that
  -- pass has parked cannot be seen here.
  SELECT d.id, d.queue, d.key, r.tokens, r.next_at, q.priority_age_seconds AS age,
         CASE WHEN e.paused THEN 0 ELSE coalesce(e.max_concurrency, q.key_max_concurrency, 1) END - held.n AS slots
    FROM due d
    JOIN key_buckets b ON b.id = d.id AND b.opens_at = d.opens_at
    LEFT JOIN queues q ON q.name = d.queue
    LEFT JOIN queue_keys e ON e.queue = d.queue AND e.key = d.key
    LEFT JOIN LATERAL rated_key(d.queue, d.key) AS r ON true
    CROSS JOIN LATERAL (
      SELECT count(*)::int AS n FROM tasks h
       WHERE h.queue = d.queue AND h.concurrency_key = d.key AND h.worker_id IS NOT NULL AND h.finished_at IS NULL) AS held
),
line AS MATERIALIZED (
  -- The first one also without a token: whether anything waits.
  SELECT r.id AS bucket_id, w.id, w.gate,
         row_number() OVER (PARTITION BY r.id ORDER BY aged_at(w.run_at, w.priority, r.age),
                                                       CASE WHEN r.age IS NULL THEN w.priority END DESC, w.run_at, w.id)
           <= least(r.tokens, r.slots) AS may_start
    FROM room r
    CROSS JOIN LATERAL (
      (SELECT t.id, t.gate, t.priority, t.run_at FROM tasks t
        WHERE t.queue = r.queue AND t.concurrency_key = r.key
          AND t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate IN (0, 1, 4, 6) AND t.run_at <= now()
          AND r.age IS NULL
        ORDER BY t.priority DESC, t.run_at, t.id
        LIMIT greatest(1, least(r.tokens, r.slots)))
      UNION ALL
      SELECT t.id, t.gate, t.priority, t.run_at
        FROM aged_firsts(r.queue, r.key, r.age, '{0,1,4,6}', greatest(1, least(r.tokens, r.slots))) AS f(id)
        JOIN tasks t ON t.id = f.id
       WHERE r.age IS NOT NULL) AS w
   WHERE r.tokens IS NOT NULL
),
freed AS MATERIALIZED (
  SELECT f.id, g.queue
    FROM (SELECT DISTINCT r.queue FROM room r WHERE r.tokens IS NULL) AS g
    CROSS JOIN LATERAL (
      SELECT t.id FROM tasks t
       WHERE t.gate > 1 AND t.worker_id IS NULL AND t.finished_at IS NULL AND t.queue = g.queue AND t.gate = 4
       ORDER BY t.priority DESC, t.run_at, t.id
       LIMIT 1000) AS f
),
to_open AS MATERIALIZED (
  SELECT t.id FROM tasks t
   WHERE t.id = ANY(ARRAY(SELECT id FROM line WHERE may_start AND gate IN (1, 4) UNION ALL SELECT id FROM freed))
     AND t.status = 'PENDING' AND t.gate IN (1, 4)
     FOR NO KEY UPDATE OF t SKIP LOCKED
),
opened AS (UPDATE tasks t SET gate = 0 FROM to_open o WHERE t.id = o.id RETURNING t.id),
next_looks AS MATERIALIZED (
  SELECT r.id,
         CASE WHEN r.tokens IS NULL THEN now()
              WHEN r.slots <= 0 OR NOT EXISTS (SELECT FROM line l WHERE l.bucket_id = r.id) THEN NULL
              WHEN r.tokens = 0 THEN r.next_at
              WHEN EXISTS (SELECT FROM line l
                            WHERE l.bucket_id = r.id AND l.may_start AND l.gate IN (1, 4)
                              AND NOT EXISTS (SELECT FROM to_open o WHERE o.id = l.id))
              THEN now() + interval '100 milliseconds' END AS opens_at,
         r.tokens IS NULL AND NOT EXISTS (SELECT FROM freed f WHERE f.queue = r.queue) AS done
    FROM room r
),
looked AS (UPDATE key_buckets b SET opens_at = n.opens_at FROM next_looks n WHERE b.id = n.id AND NOT n.done),
gone AS (DELETE FROM key_buckets b USING next_looks n WHERE b.id = n.id AND n.done)
SELECT (SELECT count(*)::int FROM room) AS keys, (SELECT count(*)::int FROM opened) AS opened,
       extract(epoch FROM least((SELECT b.opens_at FROM key_buckets b
                                  WHERE b.opens_at IS NOT NULL AND b.id NOT IN (SELECT id FROM next_looks)
                                  ORDER BY b.opens_at LIMIT 1),
                                (SELECT min(n.opens_at) FROM next_looks n WHERE NOT n.done)) - now())::float8 AS next_in
