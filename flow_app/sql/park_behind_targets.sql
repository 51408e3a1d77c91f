-- Take what waits for the room of a target out of the index of due tasks: %(ids)s, which this pass has locked, and what lies
-- behind them in the same pairs (%(queues)s, %(priorities)s, from %(from)s on) and calls one of the hosts %(hosts)s. What
-- this pass has given away is owned by now. Returns how many were parked.
--
-- A look ahead, because a pass locks no more than there is room for: a hundred thousand behind one host would cost the tasks
-- behind them as many passes. What needs something of its worker is parked as far as it was locked.
-- Index: tasks_due. MATERIALIZED, so that no plan locks more than it parks.
WITH ahead AS MATERIALIZED (
  SELECT w.id
    FROM unnest(%(queues)s::text[], %(priorities)s::int[], %(from)s::timestamptz[]) AS p(queue, priority, run_at)
    CROSS JOIN LATERAL (
      SELECT t.id, t.target FROM tasks t
       WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 0 AND t.crash_count = 0 AND t.needs_id IS NULL
         AND t.queue = p.queue AND t.priority = p.priority AND t.run_at >= p.run_at AND t.run_at <= now()
       ORDER BY t.run_at, t.id
       LIMIT 2000) AS w
   WHERE w.target = ANY(%(hosts)s::text[])
),
to_park AS MATERIALIZED (
  -- By status, which is in no index: asked for its worker, the planner would walk over all that waits.
  SELECT t.id FROM tasks t
   WHERE t.id = ANY(%(ids)s::uuid[] || ARRAY(SELECT id FROM ahead)) AND t.status = 'PENDING' AND t.gate IN (0, 1, 6)
     AND t.target = ANY(%(hosts)s::text[])
     FOR NO KEY UPDATE SKIP LOCKED
),
parked AS (UPDATE tasks t SET gate = 5 FROM to_park p WHERE t.id = p.id RETURNING t.id)
SELECT count(*)::int FROM parked
