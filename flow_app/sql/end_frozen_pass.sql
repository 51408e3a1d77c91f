-- End the sessions of schedulers that have kept a pass open for longer than %(after)s seconds without saying a word.
--
-- A scheduler may be frozen within a trip of its pass, or between two. idle_in_transaction_session_timeout ends neither: in
-- the first case the server takes the session for a busy one, and in the second the Flush with which psycopg ends a pipeline
-- has stopped the timer. It would keep the pass for as long as it is frozen.
SELECT pg_terminate_backend(pid)
  FROM pg_stat_activity
 WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
   AND application_name = 'task_scheduler scheduler'
   AND state IN ('active', 'idle in transaction') AND wait_event = 'ClientRead'
   AND state_change < now() - make_interval(secs => %(after)s)
