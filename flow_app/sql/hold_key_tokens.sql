-- What hold_tokens.sql does, for the keys of the queue %(queue)s: let what is assigned hold a token of its key, of the rate that
-- is set right now. Runs behind fit_key_buckets.sql and hand_back_assigned.sql, with the pass held. Index: tasks_owned.
WITH kept AS MATERIALIZED (
  SELECT t.queue, t.concurrency_key AS key, array_agg(t.id) AS ids, array_agg(t.attempt) AS attempts
    FROM tasks t
   WHERE t.worker_id IS NOT NULL AND t.finished_at IS NULL AND t.status = 'SCHEDULED'
     AND t.queue = %(queue)s AND t.concurrency_key IS NOT NULL
     AND NOT EXISTS (SELECT FROM key_buckets b
                      WHERE b.queue = t.queue AND b.key = t.concurrency_key AND t.id = ANY(b.task_ids))
   GROUP BY t.queue, t.concurrency_key
)
INSERT INTO key_buckets (queue, key, full_at, task_ids, attempts, opens_at)
SELECT k.queue, k.key, r.full_at, r.task_ids || k.ids, r.attempts || k.attempts, now()
  FROM kept k
  CROSS JOIN LATERAL rated_key(k.queue, k.key) AS r
    ON CONFLICT (queue, key) DO UPDATE
   SET full_at = excluded.full_at, task_ids = excluded.task_ids, attempts = excluded.attempts, opens_at = excluded.opens_at
