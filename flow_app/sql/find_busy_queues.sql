-- Queues in which something happens, those with most of it first, at most %(limit)s: whose tasks are assigned or running, or are
-- among the last %(sample)s of all that came, or that ended. Indexes: tasks_owned, all of it, which is as large as there are
-- slots; the primary key, which is in the order of creation; tasks_ended. Not the ORM: it has no union to count over.
SELECT queue
  FROM (SELECT queue FROM tasks WHERE worker_id IS NOT NULL AND finished_at IS NULL
         UNION ALL
        (SELECT queue FROM tasks ORDER BY id DESC LIMIT %(sample)s)
         UNION ALL
        (SELECT queue FROM tasks WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT %(sample)s)) AS seen
 GROUP BY queue
 ORDER BY count(*) DESC, queue
 LIMIT %(limit)s
