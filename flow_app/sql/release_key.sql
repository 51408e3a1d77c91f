-- Make the next tasks of the concurrency key %(key)s of the queue %(queue)s visible, as many as it has room for: its limit was
-- raised, or it goes on after a pause. Runs with the pass held. Indexes: tasks_key_held, tasks_key_waiting.
WITH firsts AS MATERIALIZED (
  SELECT t.id
    FROM tasks t
   WHERE t.queue = %(queue)s AND t.concurrency_key = %(key)s
     AND t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate IN (0, 1, 4, 6) AND t.run_at <= now()
   ORDER BY t.priority DESC, t.run_at, t.id
   LIMIT greatest(0, %(most)s - (SELECT count(*) FROM tasks h
                                  WHERE h.queue = %(queue)s AND h.concurrency_key = %(key)s
                                    AND h.worker_id IS NOT NULL AND h.finished_at IS NULL))
),
locked AS MATERIALIZED (
  SELECT t.id FROM firsts f JOIN tasks t ON t.id = f.id
   WHERE t.gate IN (1, 4) AND t.worker_id IS NULL AND t.finished_at IS NULL
     FOR NO KEY UPDATE OF t SKIP LOCKED
)
UPDATE tasks t SET gate = 0 FROM locked l WHERE t.id = l.id
