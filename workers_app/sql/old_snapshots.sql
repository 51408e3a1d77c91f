-- Whoever keeps vacuum from removing dead rows of this database, the oldest first: sessions in a transaction, standbys that
-- send feedback, replication slots, prepared transactions. Sessions of others show no times without pg_read_all_stats.
SELECT kind, name, detail, seconds, age
  FROM (SELECT CASE WHEN backend_type = 'walsender' THEN 'standby' ELSE 'session' END AS kind, pid::text AS name,
               concat_ws(', ', nullif(application_name, ''), usename, state) AS detail,
               extract(epoch FROM now() - xact_start)::float8 AS seconds,
               greatest(age(backend_xmin), age(backend_xid)) AS age
          FROM pg_stat_activity
         WHERE coalesce(backend_xmin, backend_xid) IS NOT NULL AND pid <> pg_backend_pid()
           AND backend_type <> 'autovacuum worker' AND coalesce(datname, current_database()) = current_database()
        UNION ALL
        SELECT 'slot', slot_name, CASE WHEN active THEN 'in use' ELSE 'not in use' END, NULL, age(xmin)
          FROM pg_replication_slots
         WHERE xmin IS NOT NULL
        UNION ALL
        SELECT 'prepared', gid, owner, extract(epoch FROM now() - prepared)::float8, age(transaction)
          FROM pg_prepared_xacts
         WHERE database = current_database()) AS holders
 ORDER BY age DESC
 LIMIT 100
