-- Make the next tasks of the concurrency key %(key)s of the queue %(queue)s visible, as many as it has room for: its limit was
-- raised, or it goes on after a pause. Runs with the pass held. Indexes: tasks_key_held, tasks_key_waiting.
WITH room AS MATERIALIZED (
  SELECT greatest(0, %(most)s - count(*)) AS free, (SELECT priority_age_seconds FROM queues WHERE name = %(queue)s) AS age
    FROM tasks h
   WHERE h.queue = %(queue)s AND h.concurrency_key = %(key)s AND h.worker_id IS NOT NULL AND h.finished_at IS NULL
),
firsts AS MATERIALIZED (
  (SELECT t.id
     FROM tasks t
    WHERE t.queue = %(queue)s AND t.concurrency_key = %(key)s
      AND t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate IN (0, 1, 4, 6) AND t.run_at <= now()
      AND (SELECT age FROM room) IS NULL
    ORDER BY t.priority DESC, t.run_at, t.id
    LIMIT (SELECT free FROM room))
  UNION ALL
  SELECT f.id FROM room r CROSS JOIN LATERAL aged_firsts(%(queue)s, %(key)s, r.age, '{0,1,4,6}', r.free) AS f(id)
   WHERE r.age IS NOT NULL
),
locked AS MATERIALIZED (
  SELECT t.id FROM firsts f JOIN tasks t ON t.id = f.id
   WHERE t.gate IN (1, 4) AND t.worker_id IS NULL AND t.finished_at IS NULL
     FOR NO KEY UPDATE OF t SKIP LOCKED
)
UPDATE tasks t SET gate = 0 FROM locked l WHERE t.id = l.id
