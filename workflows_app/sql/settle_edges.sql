-- Note on open edges how the task or batch at their end has ended: of at most %(parents)s ended tasks and as many batches,
-- the first that ended first, and at most %(edges)s edges. Returns these tasks and batches, how many edges were settled, the
-- tasks that wait behind settled edges, locked, the batches to look at: those of these tasks, those that these batches lie in,
-- and those that are marked; and whether the end of any task is yet to be told. An edge whose waiting task somebody holds is left for the next round: a round waits for
-- nobody, so it cannot be part of a deadlock. Tasks are asked by their status, which is in no index: asked for what
-- tasks_gated is about, the planner would walk over all that waits, once for each; edges by where they lie, for the like reason.
-- Indexes: tasks_ended_parents, batches_ended_parents, batches_to_look_at, task_edges_open.
WITH ended AS MATERIALIZED (
  SELECT id, status, batch_id, notifies
    FROM tasks
   WHERE has_dependents AND finished_at IS NOT NULL
   ORDER BY finished_at
   LIMIT %(parents)s
),
done AS MATERIALIZED (
  SELECT id, status, parent_id
    FROM batches
   WHERE has_dependents AND finished_at IS NOT NULL
   ORDER BY finished_at
   LIMIT %(parents)s
),
marked AS MATERIALIZED (SELECT id FROM batches WHERE look ORDER BY id LIMIT %(parents)s),
open AS MATERIALIZED (
  SELECT e.row, e.child_id, p.status
    FROM (SELECT id, status FROM done UNION ALL SELECT id, status FROM ended) AS p
    CROSS JOIN LATERAL (
      SELECT ctid AS row, child_id FROM task_edges
       WHERE parent_id = p.id AND outcome IS NULL
       LIMIT %(edges)s) AS e
   LIMIT %(edges)s
),
children AS MATERIALIZED (
  SELECT t.id, t.gate = 2 AND t.status = 'PENDING' AS waits
    FROM (SELECT DISTINCT child_id FROM open) AS o
    JOIN tasks t ON t.id = o.child_id
),
waiting AS MATERIALIZED (
  SELECT t.id
    FROM children c
    JOIN tasks t ON t.id = c.id
   WHERE c.waits AND t.gate = 2 AND t.status = 'PENDING'
   ORDER BY t.id
     FOR NO KEY UPDATE OF t SKIP LOCKED
),
held AS MATERIALIZED (SELECT id FROM children WHERE waits EXCEPT SELECT id FROM waiting),
settled AS (
  UPDATE task_edges e
     SET outcome = o.status
    FROM open o
   WHERE e.ctid = o.row AND e.outcome IS NULL
     AND o.child_id NOT IN (SELECT id FROM held)
  RETURNING e.child_id
)
SELECT ARRAY(SELECT id FROM ended) AS parents, ARRAY(SELECT id FROM done) AS done, (SELECT count(*)::int FROM settled) AS settled,
       ARRAY(SELECT id FROM waiting ORDER BY id) AS waiting,
       ARRAY(SELECT batch_id FROM ended WHERE batch_id IS NOT NULL
              UNION SELECT parent_id FROM done WHERE parent_id IS NOT NULL
              UNION SELECT id FROM marked) AS batches,
       (SELECT coalesce(bool_or(notifies), false) FROM ended) AS tells
