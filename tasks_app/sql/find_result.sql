-- How the task %(task_id)s stands, and the result of its latest ended attempt, as JSON text. Index: executions_attempt.
SELECT t.status, x.attempt, x.result::text
  FROM tasks t
  LEFT JOIN LATERAL (
    SELECT attempt, result FROM task_executions WHERE task_id = t.id ORDER BY attempt DESC LIMIT 1) AS x ON true
 WHERE t.id = %(task_id)s
