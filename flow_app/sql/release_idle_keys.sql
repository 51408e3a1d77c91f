-- Make the next task of a concurrency key visible when the key is idle but all its due tasks are parked. The trigger
-- tasks_release_key does this at once; what is found here was left behind by a rolled-back edit. Looks at no more than
-- %(limit)s keys a call, after the given (queue, key), and returns the last key looked at (NULL: the end).
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
    CROSS JOIN LATERAL (
      SELECT t.id, t.gate FROM tasks t
       WHERE t.queue = k.queue AND t.concurrency_key = k.concurrency_key
         AND t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate IN (0, 1, 6)
       ORDER BY t.priority DESC, t.run_at, t.id
       LIMIT 1) AS head
   WHERE head.gate = 1
     AND NOT EXISTS (
       SELECT FROM tasks h
        WHERE h.queue = k.queue AND h.concurrency_key = k.concurrency_key
          AND h.worker_id IS NOT NULL AND h.finished_at IS NULL)
),
locked AS MATERIALIZED (
  SELECT t.id FROM idle i JOIN tasks t ON t.id = i.id
   WHERE t.gate = 1 AND t.worker_id IS NULL AND t.finished_at IS NULL
     FOR NO KEY UPDATE OF t SKIP LOCKED
),
released AS (UPDATE tasks t SET gate = 0 FROM locked l WHERE t.id = l.id RETURNING t.id)
SELECT k.queue, k.concurrency_key, (SELECT count(*) FROM released) AS released
  FROM keys k
 WHERE k.n >= %(limit)s
 ORDER BY k.n DESC
 LIMIT 1
