-- Give tasks that this pass has locked to workers that it has locked: %(ids)s to the ones of %(workers)s in the same
-- places. By status, which is in no index: asked for its worker, the planner would walk over all that waits.
UPDATE tasks t
   SET status = 'SCHEDULED', worker_id = m.worker_id, assigned_at = now(), key_blocked = false,
       version = t.version + 1, updated_at = now()
  FROM unnest(%(ids)b::uuid[], %(workers)b::uuid[]) AS m(id, worker_id)
 WHERE t.id = m.id AND t.status = 'PENDING'
