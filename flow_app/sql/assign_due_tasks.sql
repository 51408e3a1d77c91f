-- Give tasks that this pass has locked to workers that it has locked: %(ids)s to the ones of %(workers)s in the same
-- places, as are the slots %(key_slots)s of concurrency keys; an empty list, when no task has a key. Those of the queues
-- %(limited)s and of the targets %(targets)s, which have a limit, are stamped: they count against it from now on. By status,
-- which is in no index: asked for its worker, the planner would walk over all that waits.
UPDATE tasks t
   SET status = 'SCHEDULED', worker_id = m.worker_id, assigned_at = now(), gate = 0, key_slot = m.key_slot,
       limited = t.queue = ANY(%(limited)s::text[]) OR coalesce(t.target = ANY(%(targets)s::text[]), false),
       version = t.version + 1, updated_at = now()
  FROM unnest(%(ids)b::uuid[], %(workers)b::uuid[], %(key_slots)b::smallint[]) AS m(id, worker_id, key_slot)
 WHERE t.id = m.id AND t.status = 'PENDING'
