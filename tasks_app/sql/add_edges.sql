-- Store what new tasks wait for: one edge for each of %(children)s and %(parents)s, of which %(of_batches)s says whether it is a
-- batch, and one rule for each of %(tasks)s.
WITH joins AS (
  INSERT INTO task_joins (task_id, run_if, otherwise)
  SELECT * FROM unnest(%(tasks)s::uuid[], %(run_ifs)s::text[], %(otherwises)s::text[])
)
INSERT INTO task_edges (child_id, parent_id, of_batch)
SELECT * FROM unnest(%(children)s::uuid[], %(parents)s::uuid[], %(of_batches)s::bool[])
