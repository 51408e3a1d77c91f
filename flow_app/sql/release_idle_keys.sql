-- Make the next tasks of a concurrency key visible when the key has room but they are parked, as many as there are room and
-- tokens for. The trigger tasks_release_key and open_keys.sql do this at once; what is found here was left behind by a
-- rolled-back edit or a lost bucket, or a limit was raised. Looks at no more than %(limit)s keys a call, after the given (queue, key), and returns the last key looked at
-- (NULL: the end).
-- Index: tasks_key_waiting, hopped from key to key.
WITH RECURSIVE keys(queue, concurrency_key, n) AS (
  (SELECT queue, concurrency_key, 1
     FROM tasks
    WHERE concurrency_key IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL
      AND (queue, concurrency_key) > (%(queue)s::text, %(key)s::text)
    ORDER BY queue, concurrency_key
    LIMIT 1)
  UNION ALL
  SELECT hop.queue, hop.concurrency_key, keys.n + 1
    FROM keys
    CROSS JOIN LATERAL (
      SELECT queue, concurrency_key FROM tasks
       WHERE concurrency_key IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL
         AND (queue, concurrency_key) > (keys.queue, keys.concurrency_key)
       ORDER BY queue, concurrency_key
       LIMIT 1) AS hop
   WHERE keys.n < %(limit)s
),
idle AS MATERIALIZED (
  SELECT head.id
    FROM keys k
    LEFT JOIN queues q ON q.name = k.queue
    LEFT JOIN queue_keys e ON e.queue = k.queue AND e.key = k.concurrency_key
    CROSS JOIN LATERAL (
      SELECT count(*) AS n FROM tasks h
       WHERE h.queue = k.queue AND h.concurrency_key = k.concurrency_key
         AND h.worker_id IS NOT NULL AND h.finished_at IS NULL) AS held
    CROSS JOIN LATERAL (
      SELECT greatest(0, least(
               CASE WHEN e.paused THEN 0
                    WHEN starts_with(k.concurrency_key, 'schedule:') THEN coalesce(e.max_concurrency, 1)
                    ELSE coalesce(e.max_concurrency, q.key_max_concurrency, 1) END - held.n,
               CASE WHEN q.key_rate_limit IS NOT NULL AND NOT starts_with(k.concurrency_key, 'schedule:')
                    THEN (SELECT r.tokens FROM rated_key(k.queue, k.concurrency_key) AS r) END)) AS free) AS room
    CROSS JOIN LATERAL (
      (SELECT t.id, t.gate FROM tasks t
        WHERE t.queue = k.queue AND t.concurrency_key = k.concurrency_key
          AND t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate IN (0, 1, 4, 6) AND t.run_at <= now()
          AND q.priority_age_seconds IS NULL
        ORDER BY t.priority DESC, t.run_at, t.id
        LIMIT room.free)
      UNION ALL
      SELECT t.id, t.gate
        FROM aged_firsts(k.queue, k.concurrency_key, q.priority_age_seconds, '{0,1,4,6}', room.free) AS f(id)
        JOIN tasks t ON t.id = f.id
       WHERE q.priority_age_seconds IS NOT NULL) AS head
   WHERE head.gate IN (1, 4)
),
locked AS MATERIALIZED (
  SELECT t.id FROM idle i JOIN tasks t ON t.id = i.id
   WHERE t.gate IN (1, 4) AND t.worker_id IS NULL AND t.finished_at IS NULL
     FOR NO KEY UPDATE OF t SKIP LOCKED
),
released AS (UPDATE tasks t SET gate = 0 FROM locked l WHERE t.id = l.id RETURNING t.id)
SELECT k.queue, k.concurrency_key, (SELECT count(*) FROM released) AS released
  FROM keys k
 WHERE k.n >= %(limit)s
 ORDER BY k.n DESC
 LIMIT 1
