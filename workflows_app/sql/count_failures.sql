-- How many tasks of each of the batches %(ids)s have FAILED, up to its limit, or of how many, where that is a part of them.
-- Indexes: tasks_batch_ended, tasks_batch_open.
SELECT b.id, b.fail_fast AS "limit", b.fail_fast_is_percent AS percent,
       (SELECT count(*)::int
          FROM (SELECT FROM tasks t
                 WHERE t.batch_id = b.id AND t.finished_at IS NOT NULL AND t.unsuccessful AND t.status = 'FAILED'
                 LIMIT CASE WHEN NOT b.fail_fast_is_percent THEN b.fail_fast END) AS f) AS failed,
       CASE WHEN b.fail_fast_is_percent
            THEN (SELECT count(*)::int FROM tasks t WHERE t.batch_id = b.id AND t.finished_at IS NOT NULL)
                 + (SELECT count(*)::int FROM tasks t WHERE t.batch_id = b.id AND t.finished_at IS NULL)
            ELSE 0 END AS total
  FROM batches b
 WHERE b.id = ANY(%(ids)s::uuid[]) AND b.fail_fast IS NOT NULL
