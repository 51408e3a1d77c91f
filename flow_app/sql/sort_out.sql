-- Let tasks of queues that are no longer shared wait like any other: of each of %(queues)s, %(most)s at once. A queue in
-- which none is left has no turns from then on. Returns how many were let out.
--
-- Runs in a transaction that has taken the pass, and finds nothing in any other: no pass can sort tasks in meanwhile.
-- Index: tasks_turns.
WITH ended AS MATERIALIZED (
  SELECT q.name FROM queues q
   WHERE q.name = ANY(%(queues)s::text[]) AND q.fair_by IS NULL AND current_setting('scheduler.pass', true) = 'held'
     FOR NO KEY UPDATE SKIP LOCKED
),
found AS MATERIALIZED (
  SELECT d.id, e.name
    FROM ended e
    CROSS JOIN LATERAL (
      SELECT t.id FROM tasks t
       WHERE t.tenant IS NOT NULL AND t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 6 AND t.queue = e.name
       LIMIT %(most)s
         FOR NO KEY UPDATE SKIP LOCKED) AS d
),
moved AS (
  UPDATE tasks t SET gate = 0, tenant = NULL FROM found f WHERE t.id = f.id RETURNING t.id
),
done AS (
  UPDATE queues q SET has_turns = false
    FROM ended e
   WHERE q.name = e.name
     AND NOT EXISTS (
       SELECT FROM tasks t
        WHERE t.tenant IS NOT NULL AND t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 6 AND t.queue = e.name)
)
SELECT count(*)::int FROM moved
