-- How vacuum keeps up with the tables that are written all the time: rows, dead versions, last vacuum, switched off or not.
SELECT s.relname AS name, s.n_live_tup AS live, s.n_dead_tup AS dead,
       extract(epoch FROM now() - greatest(s.last_vacuum, s.last_autovacuum))::float8 AS vacuumed_ago,
       current_setting('autovacuum')::bool AND current_setting('track_counts')::bool
         AND NOT coalesce(c.reloptions::text ~ 'autovacuum_enabled=(false|off|no|0)', false) AS autovacuum
  FROM pg_stat_user_tables s
  JOIN pg_class c ON c.oid = s.relid
 WHERE s.relid = ANY(ARRAY(SELECT to_regclass(name) FROM unnest(%(tables)s::text[]) AS name))
 ORDER BY array_position(%(tables)s::text[], s.relname::text)
