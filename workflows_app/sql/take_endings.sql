-- Lock at most %(most)s ended tasks whose end is yet to be told, those that ended first, and return them; only of %(only)s,
-- if that is given, and none of %(but)s. One round at a time: two would tell an ordered endpoint in the order in which they commit. What somebody holds is
-- left for the next one. Error and status code are those of the last attempt, if that is how it ended; so is the result, which is
-- read for who wants it (%(results)s: somebody who listens). Indexes: tasks_ended_parents, executions_attempt.
WITH alone AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(4711, 1) AS got WHERE %(only)s::uuid[] IS NULL),
taken AS MATERIALIZED (
  SELECT t.id, t.type, t.queue, t.status, t.attempt, t.version, t.end_reason, t.finished_at, t.correlation_id, t.callback
    FROM tasks t
   WHERE t.has_dependents AND t.finished_at IS NOT NULL AND t.notifies
     AND t.id <> ALL(%(but)s::uuid[])
     AND (t.id = ANY(%(only)s::uuid[]) OR (SELECT got FROM alone))
   ORDER BY t.finished_at
   LIMIT %(most)s
     FOR NO KEY UPDATE SKIP LOCKED
)
SELECT t.id, t.type, t.queue, t.status, t.attempt, t.version, t.finished_at,
       coalesce(t.correlation_id, replace(t.id::text, '-', '')) AS correlation_id, t.callback::text AS callback,
       coalesce(t.end_reason, x.error->>'code') AS error_code, x.result->>'statusCode' AS status_code,
       CASE WHEN %(results)s OR t.callback ? 'include' THEN x.result::text END AS result
  FROM taken t
  LEFT JOIN LATERAL (
    SELECT e.error, e.result FROM task_executions e
     WHERE e.task_id = t.id AND e.attempt = t.attempt AND e.task_status = t.status AND t.end_reason IS NULL) AS x ON true
 ORDER BY t.finished_at, t.id
