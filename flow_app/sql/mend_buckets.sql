-- Give each rate its bucket, take away those that belong to none, and settle those that a database clock which was set
-- back left ahead. Returns how many were mended.
--
-- A bucket that was lost begins empty: whatever had been taken from it, no more than its burst is lost. Takes the pass
-- when there is something to do, because a pass may be charging, and does nothing when it cannot. Not the ORM: three
-- changes after one look.
WITH rated AS MATERIALIZED (
  SELECT kind, name, bucket_id, rate_limit, rate_period, rate_burst FROM rated_queues
  UNION ALL
  SELECT kind, name, bucket_id, rate_limit, rate_period, rate_burst FROM rated_targets
),
broken AS MATERIALIZED (
  SELECT r.kind, r.name, r.bucket_id, now() + rate_span(r.rate_burst + 1, r.rate_limit, r.rate_period) AS empty_until
    FROM rated r LEFT JOIN buckets b ON b.id = r.bucket_id
   WHERE b.id IS NULL OR b.full_at > now() + rate_span(r.rate_burst + 1, r.rate_limit, r.rate_period)
  UNION ALL
  SELECT NULL, NULL, b.id, NULL FROM buckets b
   WHERE b.kind IN ('queue', 'thaw', 'target')
     AND NOT EXISTS (SELECT FROM rated r WHERE r.kind = b.kind AND r.name = b.name)
),
held AS MATERIALIZED (
  SELECT 1 FROM scheduler_pass WHERE name = 'assign' AND EXISTS (SELECT FROM broken) FOR UPDATE SKIP LOCKED
),
made AS (
  INSERT INTO buckets (kind, name, full_at)
  SELECT kind, name, empty_until FROM broken WHERE bucket_id IS NULL AND EXISTS (SELECT FROM held)
  ON CONFLICT DO NOTHING
  RETURNING id
),
settled AS (
  UPDATE buckets b SET full_at = least(b.full_at, d.empty_until)
    FROM broken d WHERE b.id = d.bucket_id AND d.name IS NOT NULL AND EXISTS (SELECT FROM held)
  RETURNING b.id
),
gone AS (
  DELETE FROM buckets b USING broken d WHERE b.id = d.bucket_id AND d.name IS NULL AND EXISTS (SELECT FROM held)
  RETURNING b.id
)
SELECT (SELECT count(*) FROM made) + (SELECT count(*) FROM settled) + (SELECT count(*) FROM gone) AS mended
