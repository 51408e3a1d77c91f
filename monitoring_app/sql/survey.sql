-- The state of the whole system in one row: connections, processes, and how many tasks wait or are owned.
--
-- Runs every few seconds, so no count reads more than %(most)s rows; beyond that, the statistics of the index count
-- (waiting_is_estimate), and of ``frozen``, what waits behind types and targets and in frozen queues, 10,000 of each of these.
-- Indexes: tasks_due, tasks_labelled (index-only), tasks_suspects, tasks_key_waiting, tasks_gated, tasks_frozen, tasks_owned.
-- Not the ORM: a dozen counts in one trip.
WITH due AS MATERIALIZED (
  SELECT count(*) AS n
    FROM (SELECT FROM tasks
           WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0 AND needs_id IS NULL
           LIMIT %(most)s) AS found
),
labelled AS MATERIALIZED (
  SELECT count(*) AS n
    FROM (SELECT FROM tasks
           WHERE needs_id IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0
           LIMIT %(most)s) AS found
),
suspects AS MATERIALIZED (
  SELECT count(*) AS n
    FROM (SELECT FROM tasks
           WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count > 0
           LIMIT %(most)s) AS found
),
keyed AS MATERIALIZED (
  -- The limit is on the rows looked at: a million waiting keys of which none is parked must not all be read.
  SELECT count(*) AS n, count(*) FILTER (WHERE gate = 1) AS parked
    FROM (SELECT gate FROM tasks
           WHERE worker_id IS NULL AND finished_at IS NULL AND concurrency_key IS NOT NULL
           LIMIT %(most)s) AS found
),
gated AS MATERIALIZED (
  SELECT count(*) AS n
    FROM (SELECT FROM tasks
           WHERE worker_id IS NULL AND finished_at IS NULL AND gate > 1
           LIMIT %(most)s) AS found
),
owned AS MATERIALIZED (
  SELECT count(*) FILTER (WHERE status = 'SCHEDULED') AS scheduled,
         count(*) FILTER (WHERE status = 'RUNNING') AS running
    FROM (SELECT status FROM tasks
           WHERE worker_id IS NOT NULL AND finished_at IS NULL
           LIMIT %(most)s) AS found
),
workers AS MATERIALIZED (
  SELECT count(*) FILTER (WHERE state = 'ACTIVE') AS active,
         count(*) FILTER (WHERE state = 'DRAINING') AS draining,
         count(*) FILTER (WHERE state = 'STOPPED') AS stopped,
         count(*) FILTER (WHERE state = 'DEAD') AS dead,
         count(*) FILTER (WHERE is_live) AS live,
         coalesce(sum(slots) FILTER (WHERE is_live), 0) AS slots
    FROM (SELECT state, slots,
                 state IN ('ACTIVE', 'DRAINING') AND last_heartbeat_at > now() - %(lease)s::interval AS is_live
            FROM worker_heartbeats) AS w
)
SELECT current_setting('server_version') AS server_version,
       (SELECT sum(numbackends) FROM pg_stat_database)::int AS connections_used,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true), '0')::int AS connections_allowed,
       (SELECT count(*) FROM scheduler_heartbeats
         WHERE stopped_at IS NULL AND last_heartbeat_at > now() - %(lease)s::interval) AS schedulers,
       (SELECT count(*) FROM (SELECT FROM schedules WHERE put_offs > 0 LIMIT %(most)s) AS given_up) AS schedules_put_off,
       (SELECT count(*) FROM open_freezes) AS freezes,
       (SELECT count(*) FROM (SELECT FROM tasks WHERE gate - 7 = 0 AND finished_at IS NULL LIMIT %(most)s) AS behind)
         + coalesce((SELECT sum(behind.n)
                       FROM stopped_queues s JOIN queues q ON q.name = s.name AND q.frozen
                       CROSS JOIN LATERAL (
                         SELECT count(*) AS n
                           FROM (SELECT FROM tasks
                                  WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0
                                    AND needs_id IS NULL AND queue = q.name
                                  LIMIT 10000) AS found) AS behind), 0)::bigint AS frozen,
       workers.active, workers.draining, workers.stopped, workers.dead, workers.live, workers.slots,
       CASE WHEN due.n < %(most)s THEN due.n
            ELSE greatest(due.n, (SELECT reltuples FROM pg_class WHERE oid = 'tasks_due'::regclass)::bigint) END
         + labelled.n + suspects.n + keyed.parked + gated.n AS waiting,
       due.n >= %(most)s OR labelled.n >= %(most)s OR suspects.n >= %(most)s OR keyed.n >= %(most)s OR gated.n >= %(most)s
         AS waiting_is_estimate,
       owned.scheduled, owned.running
  FROM due, labelled, suspects, keyed, gated, owned, workers
