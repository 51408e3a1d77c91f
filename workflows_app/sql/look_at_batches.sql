-- Which of the batches %(ids)s are not done; whether anything of each is open; whether it runs; whether what waits in it is to be
-- cancelled, or may have to be, because so many have failed; and whether it has the mark. It holds of those that the caller has locked before. The youngest open task is looked for first: it
-- starts last, so that entries of those that have ended are not walked over. Indexes: tasks_batch_open, batches_inner.
SELECT b.id, b.status = 'OPEN' OR t.found IS NOT NULL
             OR EXISTS (SELECT FROM batches i WHERE i.parent_id = b.id AND i.finished_at IS NULL) AS open,
       b.status = 'RUNNING' AS runs, b.stopping, b.fail_fast IS NOT NULL AND NOT b.stopping AS may_fail, b.look AS marked
  FROM batches b
  LEFT JOIN LATERAL (
    SELECT true AS found
      FROM tasks
     WHERE batch_id = b.id AND finished_at IS NULL
     ORDER BY created_at DESC
     LIMIT 1) AS t ON true
 WHERE b.id = ANY(%(ids)s::uuid[]) AND b.finished_at IS NULL
