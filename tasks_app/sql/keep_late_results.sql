-- Keep results whose attempt was taken away (LOST) or given back (RELEASED) on that attempt's history row, once.
-- A row that ended otherwise, by this worker, means that our own finish was already accepted and its reply lost: it is
-- not touched, and not returned. Index: executions_attempt.
WITH ended AS MATERIALIZED (
  SELECT *
    FROM unnest(%(ids)b::uuid[], %(attempts)b::int[], %(statuses)b::text[],
                %(error_codes)b::text[], %(error_messages)b::text[], %(results)b::text[])
         AS e(id, attempt, status, error_code, error_message, result)
),
locked AS MATERIALIZED (
  SELECT x.id, e.status, e.error_code, e.error_message, e.result
    FROM ended e
    JOIN task_executions x ON x.task_id = e.id AND x.attempt = e.attempt
   WHERE x.status IN ('LOST', 'RELEASED') AND x.late IS NULL AND x.worker_id = %(worker_id)s AND e.status <> 'RELEASED'
   ORDER BY x.id
     FOR NO KEY UPDATE OF x
)
UPDATE task_executions x
   SET late = jsonb_build_object(
         'outcome', l.status,
         'at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
         'result', l.result::jsonb,
         'error', CASE WHEN l.error_code IS NOT NULL
                       THEN jsonb_build_object('code', l.error_code, 'message', l.error_message) END)
  FROM locked l
 WHERE x.id = l.id
RETURNING x.task_id, x.attempt
