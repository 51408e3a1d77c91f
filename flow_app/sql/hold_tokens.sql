-- Let what is assigned of the queue %(queue)s, or calls the target %(target)s, hold tokens of its rate, which is set right now:
-- each has a place in its bucket, of kind %(kind)s and name %(name)s, as if a pass had given it. Taken back was what could
-- be; here is left what some start has locked, and that start counts from when it is made, if it is.
--
-- Runs behind hand_back_assigned.sql, with the pass held. Index: tasks_owned, all of it, as there.
WITH kept AS MATERIALIZED (
  SELECT array_agg(t.id) AS ids, array_agg(t.attempt) AS attempts
    FROM tasks t
    JOIN buckets b ON b.kind = %(kind)s AND b.name = %(name)s AND t.id <> ALL (b.task_ids)
   WHERE t.worker_id IS NOT NULL AND t.finished_at IS NULL AND t.status = 'SCHEDULED'
     AND (t.queue = %(queue)s::text OR t.target = %(target)s::text)
)
UPDATE buckets b SET task_ids = b.task_ids || k.ids, attempts = b.attempts || k.attempts
  FROM kept k
 WHERE b.kind = %(kind)s AND b.name = %(name)s AND k.ids IS NOT NULL
