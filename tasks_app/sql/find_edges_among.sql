-- What the tasks %(ids)s depend on: one another and batches, %(most)s edges at most; and what lies outside of them, of each task the
-- first %(outside)s that it depends on and that depend on it. Not the ORM: a bound for each task.
-- Indexes: the primary key of task_edges, task_edges_open, task_edges_settled.
(SELECT e.child_id, e.parent_id, e.outcome, e.of_batch
   FROM unnest(%(ids)s::uuid[]) AS c(id)
   JOIN task_edges e ON e.child_id = c.id
  WHERE e.of_batch OR e.parent_id = ANY(%(ids)s::uuid[])
  LIMIT %(most)s)
UNION ALL
(SELECT o.child_id, o.parent_id, o.outcome, o.of_batch
   FROM unnest(%(ids)s::uuid[]) AS c(id)
   CROSS JOIN LATERAL (
     (SELECT e.* FROM task_edges e
       WHERE e.child_id = c.id AND NOT e.of_batch AND e.parent_id <> ALL(%(ids)s::uuid[]) LIMIT %(outside)s)
     UNION ALL
     (SELECT e.* FROM task_edges e
       WHERE e.parent_id = c.id AND e.outcome IS NULL AND e.child_id <> ALL(%(ids)s::uuid[]) LIMIT %(outside)s)
     UNION ALL
     (SELECT e.* FROM task_edges e
       WHERE e.parent_id = c.id AND length(e.outcome) > 0 AND e.child_id <> ALL(%(ids)s::uuid[]) LIMIT %(outside)s)) AS o)
