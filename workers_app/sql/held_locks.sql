-- Which of these workers hold their lock: a session advisory lock, shared, on the wake-up connection of a live process.
-- It is only looked at here, so nobody ever waits for it. A key of 64 bits shows as two halves in pg_locks.
SELECT w.worker_id
  FROM unnest(%(workers)s::uuid[]) AS w(worker_id)
 WHERE hashtextextended(w.worker_id::text, 0) IN (
   SELECT l.classid::bigint << 32 | l.objid::bigint
     FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
