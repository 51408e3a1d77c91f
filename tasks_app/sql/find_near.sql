-- The tasks of a picture, %(most)s at most: %(seeds)s, of the batch %(batch)s (if it is one) %(first)s each of what did not succeed, is
-- open and succeeded, and then whatever depends on them or they depend on, the nearest first; of a batch its own only. A task
-- brings in %(breadth)s of each kind at most, so that both sides of one with very many are seen. It stops when there are enough: a
-- recursive statement makes no more rows than are fetched. Not the ORM: recursion. Indexes: tasks_batch_open, tasks_batch_ended,
-- the primary keys, task_edges_open, task_edges_settled.
WITH RECURSIVE near(id) AS (
  SELECT id
    FROM (SELECT unnest(%(seeds)s::uuid[]) AS id
          UNION ALL
          (SELECT t.id FROM tasks t
            WHERE t.batch_id = %(batch)s AND t.finished_at IS NOT NULL AND t.unsuccessful LIMIT %(first)s)
          UNION ALL
          (SELECT t.id FROM tasks t
            WHERE t.batch_id = %(batch)s AND t.finished_at IS NULL LIMIT %(first)s)
          UNION ALL
          (SELECT t.id FROM tasks t
            WHERE t.batch_id = %(batch)s AND t.finished_at IS NOT NULL AND NOT t.unsuccessful LIMIT %(first)s)) AS begin
  UNION
  SELECT n.id
    FROM near w
    CROSS JOIN LATERAL (
      (SELECT e.parent_id AS id FROM task_edges e WHERE e.child_id = w.id AND NOT e.of_batch LIMIT %(breadth)s)
      UNION ALL
      (SELECT e.child_id FROM task_edges e WHERE e.parent_id = w.id AND e.outcome IS NULL LIMIT %(breadth)s)
      UNION ALL
      (SELECT e.child_id FROM task_edges e WHERE e.parent_id = w.id AND length(e.outcome) > 0 LIMIT %(breadth)s)) AS n
   WHERE CASE WHEN %(batch)s::uuid IS NULL THEN TRUE
              ELSE %(batch)s = (SELECT t.batch_id FROM tasks t WHERE t.id = n.id) END
)
SELECT id FROM near LIMIT %(most)s
