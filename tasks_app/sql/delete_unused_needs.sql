-- Delete at most %(limit)s needs that no task has, nor was about to have for %(age)s. Whoever uses one notes it on the row
-- first: a row that changed before it was locked is looked at again, as it is now, and stays. Index: tasks_needs.
DELETE FROM task_needs
 WHERE id IN (SELECT n.id
                FROM task_needs n
               WHERE n.used_at < now() - %(age)s::interval
                 AND NOT EXISTS (SELECT FROM tasks t WHERE (t.required_labels IS NOT NULL OR t.slots > 1) AND t.needs_id = n.id)
               LIMIT %(limit)s
                 FOR UPDATE SKIP LOCKED)
   AND used_at < now() - %(age)s::interval
   AND NOT EXISTS (SELECT FROM tasks t WHERE (t.required_labels IS NOT NULL OR t.slots > 1) AND t.needs_id = task_needs.id)
RETURNING id
