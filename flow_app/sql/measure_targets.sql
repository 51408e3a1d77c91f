-- What there is of each of the hosts %(hosts)s: how many tasks that call it are assigned or running, and how many wait behind
-- its gate, of which %(limit)s are counted. Indexes: tasks_owned, all of it: as large as there are slots; and
-- tasks_gated_target, or tasks_gated while hardly anything is in it. Not the ORM: it has no lateral join.
WITH owned AS MATERIALIZED (
  SELECT target, count(*)::int AS n FROM tasks
   WHERE worker_id IS NOT NULL AND finished_at IS NULL AND target = ANY(%(hosts)s::text[])
   GROUP BY target
)
SELECT h.host, coalesce(o.n, 0) AS owned, w.n AS waiting
  FROM unnest(%(hosts)s::text[]) AS h(host)
  LEFT JOIN owned o ON o.target = h.host
  CROSS JOIN LATERAL (
    SELECT count(*)::int AS n FROM (
      SELECT FROM tasks
       WHERE gate = 5 AND worker_id IS NULL AND finished_at IS NULL AND target = h.host
       LIMIT %(limit)s) AS counted) AS w
