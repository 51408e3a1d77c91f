-- End the batches %(ids)s, which the caller holds, each with one of %(statuses)s, under the next completion number, and return what
-- is to be made for that. By the clock: the round may have begun before the last task ended.
UPDATE batches b
   SET status = a.status, finished_at = clock_timestamp(), completed_at = clock_timestamp(), completion = b.completion + 1, look = false,
       version = b.version + 1, updated_at = now()
  FROM unnest(%(ids)s::uuid[], %(statuses)s::text[]) AS a(id, status)
 WHERE b.id = a.id AND b.finished_at IS NULL
RETURNING b.id, b.name, b.status, b.completion, b.completed_at, b.parent_id, b.created_by, b.correlation_id,
          b.on_complete::text, b.on_success::text, b.on_failure::text
