-- How the tasks have ended that each of %(ids)s depends on: whether any is open, or has ended so. A statement of its own, behind
-- the lock: its snapshot has what others have settled of the same tasks. Index: task_edges_outcome, in which an open edge comes
-- last; asked for NULL, the planner might walk over all open edges there are.
SELECT j.task_id, j.run_if, j.otherwise,
       (SELECT e.outcome IS NULL FROM task_edges e WHERE e.child_id = j.task_id ORDER BY e.outcome DESC LIMIT 1) AS open,
       EXISTS (SELECT FROM task_edges e WHERE e.child_id = j.task_id AND e.outcome = 'SUCCESS') AS success,
       EXISTS (SELECT FROM task_edges e WHERE e.child_id = j.task_id AND e.outcome = 'FAILED') AS failed,
       EXISTS (SELECT FROM task_edges e WHERE e.child_id = j.task_id AND e.outcome = 'CANCELLED') AS cancelled
  FROM task_joins j
 WHERE j.task_id = ANY(%(ids)s::uuid[])
