-- Add attempts that ended since the last time to metric_minutes: by the minute of their end, and by ten and sixty, of
-- their type and of their queue. At most %(most)s ids a call. Counting and the mark of it are one transaction, and whoever
-- finds the mark locked leaves it alone: so any number of schedulers count each attempt once, whatever their clocks say,
-- and what ended while none was alive is counted by the next.
--
-- Which ids are settled, so that none below the mark is committed later, is found as in count_new_executions.sql, whose
-- header says how. The note is renewed when all up to it is counted: a backlog is worked off call by call.
--
-- In each hour the queues that are named first, the busiest first, up to %(most_queues)s, have rows of their own.
-- Indexes: the primary keys of task_executions, tasks and metric_minutes. Nothing is locked while there is nothing new.
WITH mark AS MATERIALIZED (
  SELECT counted_id, seen_id,
         seen_xid <= pg_snapshot_xmin(pg_current_snapshot())::text::bigint OR seen_at < now() - interval '1 minute'
           AS is_settled
    FROM metric_marks
   WHERE name = 'minutes' AND counted_id < (SELECT max(id) FROM task_executions)
     FOR NO KEY UPDATE SKIP LOCKED
),
part AS MATERIALIZED (
  SELECT counted_id AS low, least(counted_id + %(most)s, seen_id) AS high, counted_id + %(most)s >= seen_id AS is_done
    FROM mark
   WHERE is_settled
),
ended AS MATERIALIZED (
  SELECT date_trunc('minute', x.finished_at, 'UTC') AS at, x.type, x.status, x.task_status,
         coalesce((SELECT queue FROM tasks t WHERE t.id = x.task_id), %(other)s) AS queue,
         width_bucket(greatest(extract(epoch FROM x.started_at - x.due_at)::float8, 0), %(bounds)s::float8[]) AS start_delay,
         CASE WHEN x.status NOT IN ('LOST', 'RELEASED') THEN
           width_bucket(greatest(extract(epoch FROM x.finished_at - x.started_at)::float8, 0), %(bounds)s::float8[])
         END AS duration
    FROM part
    CROSS JOIN LATERAL (
      SELECT task_id, type, status, task_status, due_at, started_at, finished_at
        FROM task_executions
       WHERE id > part.low AND id <= part.high
       ORDER BY id) AS x
   WHERE x.finished_at >= now() - %(kept)s::interval
),
counted AS MATERIALIZED (
  SELECT at, date_trunc('hour', at, 'UTC') AS hour, type, queue, status, task_status, count(*) AS n
    FROM ended
   GROUP BY at, type, queue, status, task_status
),
known AS MATERIALIZED (
  SELECT m.at AS hour, m.name
    FROM metric_minutes m
   WHERE m.span = 60 AND m.at = ANY(ARRAY(SELECT DISTINCT hour FROM counted)) AND m.kind = 'queue' AND m.name <> %(other)s
),
fresh AS MATERIALIZED (
  SELECT hour, queue, row_number() OVER (PARTITION BY hour ORDER BY sum(n) DESC, queue) AS place
    FROM counted
   WHERE queue <> %(other)s AND (hour, queue) NOT IN (SELECT hour, name FROM known)
   GROUP BY hour, queue
),
named AS MATERIALIZED (
  SELECT hour, name FROM known
  UNION ALL
  SELECT f.hour, f.queue
    FROM fresh f
   WHERE f.place <= %(most_queues)s - (SELECT count(*) FROM known k WHERE k.hour = f.hour)
),
pieces AS (
  SELECT at, 'type' AS kind, type AS name, status, task_status, n FROM counted
  UNION ALL
  SELECT at, 'queue', CASE WHEN (hour, queue) IN (SELECT hour, name FROM named) THEN queue ELSE %(other)s END,
         status, task_status, n
    FROM counted
),
spans (span) AS (VALUES (1), (10), (60)),
-- Counts of a row and its histograms are found apart, and come together where they are added.
placed AS (
  SELECT s.span, date_bin(make_interval(mins => s.span), p.at, '2000-01-01T00:00Z') AS at, p.kind, p.name,
         coalesce(sum(n) FILTER (WHERE status = 'SUCCESS'), 0) AS success,
         coalesce(sum(n) FILTER (WHERE status = 'FAILED'), 0) AS failed,
         coalesce(sum(n) FILTER (WHERE status = 'TIMED_OUT'), 0) AS timed_out,
         coalesce(sum(n) FILTER (WHERE status = 'CANCELLED'), 0) AS cancelled,
         coalesce(sum(n) FILTER (WHERE status = 'LOST'), 0) AS lost,
         coalesce(sum(n) FILTER (WHERE status = 'RELEASED'), 0) AS released,
         coalesce(sum(n) FILTER (WHERE status IN ('FAILED', 'TIMED_OUT') AND task_status = 'PENDING'), 0) AS retried,
         coalesce(sum(n) FILTER (WHERE task_status = 'FAILED'), 0) AS given_up,
         NULL::jsonb AS start_delay, NULL::jsonb AS duration
    FROM pieces p
    CROSS JOIN spans s
   GROUP BY 1, 2, 3, 4
  UNION ALL
  SELECT span, at, 'type', type, 0, 0, 0, 0, 0, 0, 0, 0,
         jsonb_object_agg(bucket, n) FILTER (WHERE what = 'start_delay'),
         jsonb_object_agg(bucket, n) FILTER (WHERE what = 'duration')
    FROM (SELECT s.span, date_bin(make_interval(mins => s.span), b.at, '2000-01-01T00:00Z') AS at, b.type, b.what, b.bucket,
                 sum(b.n) AS n
            FROM (SELECT e.at, e.type, v.what, v.bucket, count(*) AS n
                    FROM ended e
                    CROSS JOIN LATERAL (VALUES ('start_delay', e.start_delay), ('duration', e.duration)) AS v(what, bucket)
                   WHERE v.bucket IS NOT NULL
                   GROUP BY e.at, e.type, v.what, v.bucket) AS b
            CROSS JOIN spans s
           GROUP BY 1, 2, 3, 4, 5) AS buckets
   GROUP BY span, at, type
),
added AS (
  INSERT INTO metric_minutes AS m
         (span, at, kind, name, success, failed, timed_out, cancelled, lost, released, retried, given_up, start_delay, duration)
  SELECT span, at, kind, name, sum(success), sum(failed), sum(timed_out), sum(cancelled), sum(lost), sum(released),
         sum(retried), sum(given_up),
         coalesce((array_agg(start_delay) FILTER (WHERE start_delay IS NOT NULL))[1], '{}'),
         coalesce((array_agg(duration) FILTER (WHERE duration IS NOT NULL))[1], '{}')
    FROM placed
   GROUP BY span, at, kind, name
  ON CONFLICT (span, at, kind, name) DO UPDATE
     SET success = m.success + excluded.success,
         failed = m.failed + excluded.failed,
         timed_out = m.timed_out + excluded.timed_out,
         cancelled = m.cancelled + excluded.cancelled,
         lost = m.lost + excluded.lost,
         released = m.released + excluded.released,
         retried = m.retried + excluded.retried,
         given_up = m.given_up + excluded.given_up,
         start_delay = (
           SELECT coalesce(jsonb_object_agg(key, n), '{}')
             FROM (SELECT key, sum(value::bigint) AS n
                     FROM (SELECT * FROM jsonb_each_text(m.start_delay)
                           UNION ALL SELECT * FROM jsonb_each_text(excluded.start_delay)) AS both_of
                    GROUP BY key) AS sums),
         duration = (
           SELECT coalesce(jsonb_object_agg(key, n), '{}')
             FROM (SELECT key, sum(value::bigint) AS n
                     FROM (SELECT * FROM jsonb_each_text(m.duration)
                           UNION ALL SELECT * FROM jsonb_each_text(excluded.duration)) AS both_of
                    GROUP BY key) AS sums)
)
UPDATE metric_marks m
   SET counted_id = part.high,
       seen_id = CASE WHEN is_done THEN greatest(part.high, (SELECT max(id) FROM task_executions)) ELSE m.seen_id END,
       seen_xid = CASE WHEN is_done THEN pg_current_xact_id()::text::bigint ELSE m.seen_xid END,
       seen_at = CASE WHEN is_done THEN now() ELSE m.seen_at END
  FROM part
 WHERE m.name = 'minutes'
RETURNING part.high - part.low AS counted
