-- Move one worker on to %(state)s, if it is in one of %(sources)s and, when %(beat)s is given, has not beaten since.
--
-- FOR UPDATE waits for whoever starts or assigns on this worker right now (they hold FOR KEY SHARE), and state and beat
-- are compared on the locked row. STOPPED only when it owns nothing: what it owned would be taken for lost.
WITH locked AS MATERIALIZED (
  SELECT worker_id FROM worker_heartbeats
   WHERE worker_id = %(worker_id)s AND state = ANY(%(sources)s::text[])
     AND (%(beat)s::bigint IS NULL OR beat = %(beat)s::bigint)
   ORDER BY worker_id
     FOR UPDATE
)
UPDATE worker_heartbeats w
   SET state = CASE WHEN %(state)s = 'STOPPED'
                     AND EXISTS (SELECT FROM tasks t WHERE t.worker_id = w.worker_id AND t.finished_at IS NULL)
                    THEN 'DEAD' ELSE %(state)s END,
       state_changed_at = now()
  FROM locked l
 WHERE w.worker_id = l.worker_id
RETURNING w.worker_id, w.name, w.host
