-- End the thaws of queues (``queues.thaw_queue``) whose backlog is through: each task that was due when the queue was
-- resumed has started or ended. Returns the names of those queues.
--
-- What waits for a dependency, an approval or the end of a freeze was not due. Retries are due later, and are not waited for; nor is
-- what needs something of its worker, which perhaps nobody has.
-- Indexes: tasks_due, tasks_suspects, tasks_key_waiting and tasks_gated, whose predicates are written out. Not the ORM: the check, the
-- end and its record are one.
WITH thawing AS MATERIALIZED (SELECT name, thaw_since FROM queues WHERE thaw_limit IS NOT NULL),
through AS MATERIALIZED (
  SELECT q.name, q.thaw_since
    FROM thawing q
   WHERE NOT EXISTS (SELECT FROM tasks t
                      WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 0 AND t.crash_count = 0 AND t.needs_id IS NULL
                        AND t.queue = q.name AND t.run_at <= q.thaw_since AND t.created_at <= q.thaw_since)
     AND NOT EXISTS (SELECT FROM tasks t
                      WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 0 AND t.crash_count > 0
                        AND t.queue = q.name AND t.run_at <= q.thaw_since AND t.created_at <= q.thaw_since)
     AND NOT EXISTS (SELECT FROM tasks t
                      WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.concurrency_key IS NOT NULL AND t.gate = 1
                        AND t.queue = q.name AND t.run_at <= q.thaw_since AND t.created_at <= q.thaw_since)
     AND NOT EXISTS (SELECT FROM tasks t
                      WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate > 1 AND t.gate NOT IN (2, 3, 7)
                        AND t.queue = q.name AND t.run_at <= q.thaw_since AND t.created_at <= q.thaw_since)
     AND NOT EXISTS (SELECT FROM rated_queues r
                      WHERE r.kind = 'thaw' AND r.name = q.name AND cardinality(r.task_ids) > 0)
     AND NOT EXISTS (SELECT FROM stopped_queues p WHERE p.name = q.name)
),
ended AS (
  UPDATE queues q
     SET thaw_limit = NULL, thaw_period = NULL, thaw_burst = NULL, thaw_since = NULL, version = q.version + 1
    FROM through h
   WHERE q.name = h.name AND q.thaw_since = h.thaw_since  -- resumed once more meanwhile: another backlog
  RETURNING q.name
),
gone AS (DELETE FROM buckets b USING ended e WHERE b.kind = 'thaw' AND b.name = e.name),
events AS (
  INSERT INTO audit_events (actor, action, target) SELECT 'scheduler', 'queue.thawed', 'queue:' || name FROM ended
)
SELECT name FROM ended
