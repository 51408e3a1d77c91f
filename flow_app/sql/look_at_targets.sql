-- How many more tasks that call each of the hosts %(hosts)s may be assigned: none while it is backing off. Only those that
-- have a limit, or back off, have a row. Counted from rows that bear a stamp, as for queues. Index: tasks_limited_target.
SELECT g.host,
       CASE WHEN g.backing_off_until > now() THEN 0
            ELSE greatest(0, g.max_concurrency - (
                   SELECT count(*)::int FROM tasks t
                    WHERE t.limited AND t.target = g.host AND t.worker_id IS NOT NULL AND t.finished_at IS NULL)) END AS room
  FROM targets g
 WHERE g.host = ANY(%(hosts)s::text[]) AND (g.max_concurrency IS NOT NULL OR g.backing_off_until > now())
