-- Let what is assigned or running of the queue %(queue)s, or of the target %(target)s, count against its limit, which it
-- did not have when that was assigned. Locked in id order, because finishing does so too. Runs with the pass held, so that
-- none is added meanwhile. Index: tasks_owned, all of it: it is as large as all workers have slots, and people do this by
-- hand.
WITH owned AS MATERIALIZED (
  SELECT t.id FROM tasks t
   WHERE t.worker_id IS NOT NULL AND t.finished_at IS NULL AND NOT t.limited
     AND (t.queue = %(queue)s::text OR t.target = %(target)s::text)
   ORDER BY t.id
     FOR NO KEY UPDATE
)
UPDATE tasks t SET limited = true FROM owned o WHERE t.id = o.id
