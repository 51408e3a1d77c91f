-- Delete groups of failures whose last one has gone with its task, %(limit)s at most. The caller has the mark, taken by a statement
-- before this one, so that nobody adds to them. Index: task_failures_group.
DELETE FROM failure_groups
 WHERE fingerprint IN (
   SELECT g.fingerprint
     FROM failure_groups g
    WHERE (SELECT f.fingerprint FROM task_failures f WHERE f.fingerprint = g.fingerprint LIMIT 1) IS NULL
    LIMIT %(limit)s)
RETURNING fingerprint
