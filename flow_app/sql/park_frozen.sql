-- Take what a freeze of its type or target holds out of the index of due tasks: those of %(ids)s, which this pass has locked,
-- and what lies behind them in the same lines. Returns which were parked.
--
-- A look ahead, as for targets: a pass locks no more than there is room for, and a hundred thousand behind a freeze would cost
-- the tasks behind them as many passes. Runs with the pass held, so that no freeze begins or ends meanwhile but by its time.
-- Indexes: tasks_due, tasks_labelled, tasks_turns. MATERIALIZED, so that no plan locks more than it parks.
WITH held AS MATERIALIZED (
  -- What is_frozen asks for each task, once for all: 2 µs for each that a pass has locked, and not 5.
  SELECT ARRAY(SELECT unnest(types) FROM open_freezes) AS types, ARRAY(SELECT unnest(targets) FROM open_freezes) AS targets
),
frozen AS MATERIALIZED (
  SELECT t.id, t.queue, t.priority, t.run_at, t.needs_id, t.tenant, t.gate, t.crash_count
    FROM tasks t
   WHERE t.id = ANY(%(ids)s::uuid[])
     AND (t.type = ANY((SELECT types FROM held)::text[]) OR t.target = ANY((SELECT targets FROM held)::text[]))
),
lines AS MATERIALIZED (
  SELECT queue, priority, needs_id, CASE WHEN gate = 6 THEN tenant END AS tenant, gate, min(run_at) AS run_at
    FROM frozen
   WHERE gate IN (0, 6) AND crash_count = 0
   GROUP BY 1, 2, 3, 4, 5
),
ahead AS MATERIALIZED (
  SELECT w.id, w.type, w.target
    FROM lines l
    CROSS JOIN LATERAL (
      (SELECT t.id, t.type, t.target FROM tasks t
        WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 0 AND t.crash_count = 0 AND t.needs_id IS NULL
          AND t.queue = l.queue AND t.priority = l.priority AND t.run_at >= l.run_at AND t.run_at <= now()
          AND l.gate = 0 AND l.needs_id IS NULL
        ORDER BY t.run_at, t.id
        LIMIT 2000)
      UNION ALL
      (SELECT t.id, t.type, t.target FROM tasks t
        WHERE t.needs_id IS NOT NULL AND t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 0 AND t.crash_count = 0
          AND t.needs_id = l.needs_id AND t.queue = l.queue AND t.priority = l.priority
          AND t.run_at >= l.run_at AND t.run_at <= now() AND l.gate = 0
        ORDER BY t.run_at, t.id
        LIMIT 2000)
      UNION ALL
      (SELECT t.id, t.type, t.target FROM tasks t
        WHERE t.tenant IS NOT NULL AND t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 6
          AND t.queue = l.queue AND t.tenant = l.tenant AND t.priority = l.priority
          AND t.run_at >= l.run_at AND t.run_at <= now()
        ORDER BY t.run_at, t.id
        LIMIT 2000)) AS w
   LIMIT 5000
),
to_park AS MATERIALIZED (
  -- By status, which is in no index: asked for its worker, the planner would walk over all that waits.
  SELECT t.id FROM tasks t
   WHERE t.id = ANY(ARRAY(SELECT id FROM frozen UNION SELECT id FROM ahead)) AND t.status = 'PENDING'
     AND t.gate IN (0, 1, 4, 6)
     AND (t.type = ANY((SELECT types FROM held)::text[]) OR t.target = ANY((SELECT targets FROM held)::text[]))
     FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE tasks t SET gate = 7 FROM to_park p WHERE t.id = p.id
RETURNING t.id
