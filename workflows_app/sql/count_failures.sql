-- How many tasks of each of the batches %(ids)s have FAILED, up to its limit; where that is a part of them, all that have, and of how many,
-- counted as far as it matters: of more than so many, it is too small a part. So a look costs what has failed, and not what there is.
-- Indexes: tasks_batch_ended, tasks_batch_open.
SELECT b.id, b.fail_fast AS "limit", b.fail_fast_is_percent AS percent, f.failed,
       CASE WHEN b.fail_fast_is_percent
            THEN (SELECT count(*)::int
                    FROM (SELECT FROM tasks t WHERE t.batch_id = b.id AND t.finished_at IS NOT NULL
                          UNION ALL
                          SELECT FROM tasks t WHERE t.batch_id = b.id AND t.finished_at IS NULL
                          LIMIT f.failed * 100 / b.fail_fast + 1) AS a)
            ELSE 0 END AS total
  FROM batches b
  CROSS JOIN LATERAL (
    SELECT count(*)::int AS failed
      FROM (SELECT FROM tasks t
             WHERE t.batch_id = b.id AND t.finished_at IS NOT NULL AND t.unsuccessful AND t.status = 'FAILED'
             LIMIT CASE WHEN NOT b.fail_fast_is_percent THEN b.fail_fast END) AS t) AS f
 WHERE b.id = ANY(%(ids)s::uuid[]) AND b.fail_fast IS NOT NULL
