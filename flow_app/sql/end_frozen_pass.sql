-- End the sessions of schedulers that have waited for their client in the middle of a pass for longer than %(after)s seconds.
--
-- A scheduler may be frozen between two messages of one trip. Its session is not idle then, as the server sees it, so
-- idle_in_transaction_session_timeout does not end it, and it would keep the pass for as long as it is frozen.
SELECT pg_terminate_backend(pid)
  FROM pg_stat_activity
 WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
   AND application_name = 'task_scheduler scheduler'
   AND state = 'active' AND wait_event = 'ClientRead' AND xact_start < now() - make_interval(secs => %(after)s)
