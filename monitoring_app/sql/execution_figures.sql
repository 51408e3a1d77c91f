-- Attempts that ended in the last %(hours)s hours: how many, by type, status and hour; how long they waited and ran.
--
-- With %(sample)s NULL every row is read, by index executions_finished (BRIN). Otherwise that many rows are, picked one
-- from each of as many equal stretches of ids from %(first)s to %(highest)s through the primary key: the cost is the
-- same for any history. (TABLESAMPLE reads the whole table's share, to keep an hour's.) Not the ORM: two aggregates of
-- one materialized set.
WITH picks AS MATERIALIZED (
  SELECT %(first)s::bigint
           + floor((n + random()) * (%(highest)s::bigint - %(first)s::bigint + 1) / %(sample)s::int)::bigint AS id
    FROM generate_series(0, coalesce(%(sample)s::int, 0) - 1) AS n
),
ended AS MATERIALIZED (
  SELECT type, status, task_status, due_at, started_at, finished_at
    FROM task_executions
   WHERE %(sample)s::int IS NULL AND finished_at >= now() - make_interval(hours => %(hours)s)
  UNION ALL
  SELECT x.type, x.status, x.task_status, x.due_at, x.started_at, x.finished_at
    FROM picks JOIN task_executions x ON x.id = picks.id
   WHERE %(sample)s::int IS NOT NULL AND x.finished_at >= now() - make_interval(hours => %(hours)s)
),
counts AS (
  SELECT type, status, task_status, extract(epoch FROM date_trunc('hour', finished_at))::bigint AS hour, count(*) AS n
    FROM ended
   GROUP BY type, status, task_status, hour
),
percentiles AS (
  SELECT type,
         percentile_cont(%(fractions)s::float8[]) WITHIN GROUP (
           ORDER BY extract(epoch FROM finished_at - started_at)::float8 * 1000)
           FILTER (WHERE status NOT IN ('LOST', 'RELEASED')) AS duration_ms,
         percentile_cont(%(fractions)s::float8[]) WITHIN GROUP (
           ORDER BY greatest(extract(epoch FROM started_at - due_at)::float8 * 1000, 0)) AS start_delay_ms
    FROM ended
   GROUP BY GROUPING SETS ((), (type))
)
SELECT now() AS until,
       (SELECT count(*) FROM ended) AS rows,
       coalesce((SELECT jsonb_agg(to_jsonb(counts)) FROM counts), '[]')::text AS counts,
       coalesce((SELECT jsonb_agg(to_jsonb(percentiles)) FROM percentiles), '[]')::text AS percentiles
