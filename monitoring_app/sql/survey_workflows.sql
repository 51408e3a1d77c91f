-- What batches, bulk operations, deliveries and endpoints are like, in one row. Runs every few seconds, so nothing reads more than
-- %(most)s rows: of batches the open ones that came first, of deliveries the newest %(newest)s. Of endpoints there are a hundred at most.
-- Indexes: batches_open, bulk_operations_due, the primary keys. Not the ORM: several counts in one trip.
WITH batches_now AS MATERIALIZED (
  SELECT count(*) FILTER (WHERE status = 'OPEN') AS batches_open, count(*) FILTER (WHERE status = 'RUNNING') AS batches_running,
         extract(epoch FROM clock_timestamp() - min(created_at) FILTER (WHERE status = 'RUNNING'))::float8 AS oldest_running_age
    FROM (SELECT status, created_at FROM batches WHERE finished_at IS NULL ORDER BY id LIMIT %(most)s) AS first
),
operations AS MATERIALIZED (
  SELECT count(*) AS n, coalesce(sum(touched + skipped + failed), 0)::bigint AS done, coalesce(sum(count), 0)::bigint AS of_all
    FROM bulk_operations
   WHERE state = 'RUNNING'
),
newest AS MATERIALIZED (
  SELECT t.status
    FROM (SELECT id FROM deliveries ORDER BY id DESC LIMIT %(newest)s) AS d
    JOIN tasks t ON t.id = d.id
),
endpoints AS MATERIALIZED (
  SELECT CASE WHEN disabled IS NOT NULL THEN 'disabled' WHEN failing_since IS NOT NULL THEN 'failing' ELSE 'ok' END AS state
    FROM webhook_endpoints
)
SELECT b.batches_open, b.batches_running, b.oldest_running_age,
       o.n AS operations, o.done AS operations_done, greatest(o.of_all - o.done, 0) AS operations_left,
       (SELECT coalesce(jsonb_object_agg(status, n), '{}') FROM (SELECT status, count(*) AS n FROM newest GROUP BY status) AS s)
         AS deliveries,
       (SELECT coalesce(jsonb_object_agg(state, n), '{}') FROM (SELECT state, count(*) AS n FROM endpoints GROUP BY state) AS s)
         AS endpoints
  FROM operations o, batches_now b
