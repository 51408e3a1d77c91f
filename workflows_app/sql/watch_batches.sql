-- See to it that there is another look at each of the batches %(ids)s, which run, in which something is open, and which the caller
-- holds: a batch that is open in one leads to it when it is done, and so does a task of it that has the mark. Where there is neither,
-- an open task gets the mark. Returns the batches of which that is so; of the others somebody holds the task, or nothing is open
-- any more. With the batches held, nobody takes a mark away meanwhile.
--
-- The task is to be one that ends late, because the next look comes when it does. Of the hundred youngest, or of the hundred oldest (%(youngest)s,
-- by chance), it is the one that would start last: whatever order they run in, one of the two sides is soon the right one, and no side
-- whose entries are of tasks that have ended is walked over for each. Indexes: tasks_batch_open, batches_inner, the primary key.
WITH around AS MATERIALIZED (
  SELECT DISTINCT parent_id AS id FROM batches WHERE parent_id = ANY(%(ids)s::uuid[]) AND finished_at IS NULL
),
late AS MATERIALIZED (
  SELECT b.id AS batch_id, t.id, t.has_dependents
    FROM unnest(%(ids)s::uuid[]) AS b(id)
    CROSS JOIN LATERAL (
      SELECT s.id, s.has_dependents
        FROM ((SELECT id, has_dependents, worker_id, priority, run_at FROM tasks
                WHERE %(youngest)s AND batch_id = b.id AND finished_at IS NULL
                ORDER BY created_at DESC LIMIT 100)
              UNION ALL
              (SELECT id, has_dependents, worker_id, priority, run_at FROM tasks
                WHERE NOT %(youngest)s AND batch_id = b.id AND finished_at IS NULL
                ORDER BY created_at LIMIT 100)) AS s
       ORDER BY s.has_dependents DESC, s.worker_id IS NULL DESC, s.priority, s.run_at DESC, s.id DESC
       LIMIT 1) AS t
   WHERE b.id NOT IN (SELECT id FROM around)
),
locked AS MATERIALIZED (
  SELECT t.id
    FROM late l
    JOIN tasks t ON t.id = l.id
   WHERE NOT l.has_dependents AND t.finished_at IS NULL
   ORDER BY t.id
     FOR NO KEY UPDATE OF t SKIP LOCKED
),
marked AS (UPDATE tasks t SET has_dependents = true FROM locked l WHERE t.id = l.id RETURNING t.batch_id)
SELECT id FROM around
UNION ALL SELECT batch_id FROM late WHERE has_dependents
UNION ALL SELECT batch_id FROM marked
