-- How many more tasks that call each of the hosts %(hosts)s may be assigned: by its limit, none while it is backing off, and by
-- its rate; NULL: it has none. Only those that have one, or back off, have a row. Calls are counted from rows that bear
-- a stamp, as for queues. Index: tasks_limited_target.
SELECT g.host,
       CASE WHEN g.backing_off_until > now() THEN 0
            WHEN g.max_concurrency IS NOT NULL
            THEN greatest(0, g.max_concurrency - (
                   SELECT count(*)::int FROM tasks t
                    WHERE t.limited AND t.target = g.host AND t.worker_id IS NOT NULL AND t.finished_at IS NULL)) END AS room,
       CASE WHEN g.rate_limit IS NOT NULL THEN (SELECT r.tokens FROM rated_targets r WHERE r.name = g.host) END AS tokens
  FROM targets g
 WHERE g.host = ANY(%(hosts)s::text[])
   AND (g.max_concurrency IS NOT NULL OR g.backing_off_until > now() OR g.rate_limit IS NOT NULL)
