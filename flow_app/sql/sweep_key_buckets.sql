-- Take away the buckets of concurrency keys that are full, or whose queue has no rate any more, and nobody waits for. Looks at
-- no more than %(limit)s, after the bucket %(after)s; one that a clock which was set back left to be looked at too late is
-- looked at next. Returns the last one looked at (NULL: the end), how many are gone, and whether any is to be looked at by
-- open_keys.sql, now or later.
--
-- A pass that charges one meanwhile is not overruled: the row is compared with what was seen. Indexes: the primary key,
-- key_buckets_opening.
WITH seen AS MATERIALIZED (
  SELECT b.id, b.queue, b.key, b.full_at, b.task_ids, b.opens_at
    FROM key_buckets b WHERE b.id > %(after)s ORDER BY b.id LIMIT %(limit)s
),
now_is AS MATERIALIZED (
  SELECT s.id, s.full_at, s.task_ids, s.opens_at, r.tokens IS NULL OR r.full_at <= now() AND r.task_ids = '{}' AS is_full,
         now() + 3 * rate_span(r.rate_burst + 1, r.rate_limit, r.rate_period) AS latest
    FROM seen s LEFT JOIN LATERAL rated_key(s.queue, s.key) AS r ON true
),
late AS (UPDATE key_buckets b SET opens_at = now() FROM now_is n WHERE b.id = n.id AND b.opens_at > n.latest),
gone AS (
  DELETE FROM key_buckets b USING now_is n
   WHERE b.id = n.id AND n.is_full AND b.opens_at IS NULL AND b.full_at = n.full_at AND b.task_ids = n.task_ids
  RETURNING b.id
)
SELECT (SELECT max(id) FROM seen HAVING count(*) >= %(limit)s) AS last_id, (SELECT count(*)::int FROM gone) AS gone,
       EXISTS (SELECT FROM key_buckets WHERE opens_at IS NOT NULL) AS opens
