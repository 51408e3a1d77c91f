-- Keep results whose attempt was taken away (LOST) or given back (RELEASED) on that attempt's history row, once.
-- A row that ended otherwise, by this worker, means that our own finish was already accepted and its reply lost: it is
-- not touched, and not returned. Indexes: executions_attempt, then the primary key; by ids and not by joins, for which the
-- planner would read all of the history while its statistics say that there is none.
WITH ended AS MATERIALIZED (
  SELECT *
    FROM unnest(%(ids)b::uuid[], %(attempts)b::int[], %(statuses)b::text[],
                %(error_codes)b::text[], %(error_messages)b::text[], %(results)b::text[])
         AS e(id, attempt, status, error_code, error_message, result)
),
taken_away AS MATERIALIZED (
  SELECT x.id, x.task_id, x.attempt
    FROM task_executions x
   WHERE x.task_id = ANY(%(ids)b::uuid[])
     AND x.status IN ('LOST', 'RELEASED') AND x.worker_id = %(worker_id)s
),
late AS MATERIALIZED (
  SELECT a.id, e.status, e.error_code, e.error_message, e.result
    FROM ended e JOIN taken_away a ON a.task_id = e.id AND a.attempt = e.attempt
   WHERE e.status <> 'RELEASED'
),
locked AS MATERIALIZED (
  SELECT x.id
    FROM task_executions x
   WHERE x.id = ANY(ARRAY(SELECT id FROM late)) AND x.late IS NULL
   ORDER BY x.id
     FOR NO KEY UPDATE
)
UPDATE task_executions x
   SET late = jsonb_build_object(
         'outcome', l.status,
         'at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
         'result', l.result::jsonb,
         'error', CASE WHEN l.error_code IS NOT NULL
                       THEN jsonb_build_object('code', l.error_code, 'message', l.error_message) END)
  FROM late l
 WHERE x.id = ANY(ARRAY(SELECT id FROM locked)) AND l.id = x.id
RETURNING x.task_id, x.attempt
