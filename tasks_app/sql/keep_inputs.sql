-- Keep what the attempt %(attempt)s of the task %(task_id)s has taken from results, in the place of an earlier attempt's.
-- Guarded by the fence, as the end of an attempt is: of one that was taken away nothing is kept, and no row is returned.
-- Index: the primary keys.
INSERT INTO task_inputs AS i (task_id, attempt, used)
SELECT t.id, t.attempt, %(used)s::jsonb
  FROM tasks t
 WHERE t.id = %(task_id)s AND t.attempt = %(attempt)s AND t.worker_id = %(worker_id)s AND t.status = %(running)s
   AND t.started_at = %(started_at)s::timestamptz
    ON CONFLICT (task_id) DO UPDATE SET attempt = excluded.attempt, used = excluded.used WHERE i.attempt <= excluded.attempt
RETURNING i.attempt
