-- See to it that there is another look at each of the batches %(ids)s, which run, in which something is open, and which the caller
-- holds: a batch that is open in one leads to it when it is done, and so does a task of it that has the mark. Where there is no such
-- batch, an open task gets the mark, unless it has it. Returns the batches of which that is so; of the others somebody holds all tasks
-- that were found, or nothing is open any more.
--
-- The task is to be one that ends late, because the next look comes when it does. Of the hundred youngest, or of the hundred oldest
-- (%(youngest)s, by chance), it is one that has the mark already, or else the one that would start last, of those that nobody holds: in
-- whatever order they run, one of the two sides is soon the right one, and no side whose entries are of tasks that have ended is walked
-- over for each. Indexes: tasks_batch_open, batches_inner, the primary key.
WITH around AS MATERIALIZED (
  SELECT DISTINCT parent_id AS id FROM batches WHERE parent_id = ANY(%(ids)s::uuid[]) AND finished_at IS NULL
),
late AS MATERIALIZED (
  SELECT b.id AS batch_id, l.id, l.has_dependents
    FROM unnest(%(ids)s::uuid[]) AS b(id)
    CROSS JOIN LATERAL (
      SELECT t.id, t.has_dependents
        FROM ((SELECT id, has_dependents, worker_id, priority, run_at FROM tasks
                WHERE %(youngest)s AND batch_id = b.id AND finished_at IS NULL
                ORDER BY created_at DESC LIMIT 100)
              UNION ALL
              (SELECT id, has_dependents, worker_id, priority, run_at FROM tasks
                WHERE NOT %(youngest)s AND batch_id = b.id AND finished_at IS NULL
                ORDER BY created_at LIMIT 100)) AS s
        JOIN tasks t ON t.id = s.id
       WHERE t.finished_at IS NULL
       ORDER BY s.has_dependents DESC, s.worker_id IS NULL DESC, s.priority, s.run_at DESC, s.id DESC
       LIMIT 1
         FOR NO KEY UPDATE OF t SKIP LOCKED) AS l
   WHERE b.id NOT IN (SELECT id FROM around)
),
marked AS (UPDATE tasks t SET has_dependents = true FROM late l WHERE t.id = l.id AND NOT l.has_dependents)
SELECT id FROM around UNION ALL SELECT batch_id FROM late
