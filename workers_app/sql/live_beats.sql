-- The beat counters of live workers; with %(age)s, of those whose last beat is more seconds old than that.
SELECT worker_id, beat
  FROM worker_heartbeats
 WHERE state IN ('ACTIVE', 'DRAINING')
   AND (%(age)s::float8 IS NULL OR last_heartbeat_at < now() - make_interval(secs => %(age)s::float8))
