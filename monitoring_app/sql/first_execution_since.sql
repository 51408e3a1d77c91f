-- Where the last %(hours)s hours begin in the history: ids grow with the time of the end, so a binary search finds the
-- first one in some thirty probes, whatever the table's size. Returns the lowest id, that first id and the highest id
-- (all NULL when there is no history). Index: the primary key. Not the ORM: it cannot loop.
WITH RECURSIVE ends AS MATERIALIZED (
  SELECT min(id) AS lowest, max(id) AS highest FROM task_executions
),
search(low, high) AS (
  SELECT lowest, highest + 1 FROM ends WHERE lowest IS NOT NULL
  UNION ALL
  SELECT CASE WHEN probe.is_before THEN probe.id + 1 ELSE s.low END,
         CASE WHEN probe.is_before THEN s.high ELSE s.middle END
    FROM (SELECT low, high, (low + high) / 2 AS middle FROM search WHERE low < high) AS s
    LEFT JOIN LATERAL (
      SELECT x.id, x.finished_at < now() - make_interval(hours => %(hours)s) AS is_before
        FROM task_executions x
       WHERE x.id >= s.middle AND x.id < s.high
       ORDER BY x.id
       LIMIT 1) AS probe ON true
)
SELECT ends.lowest, (SELECT max(low) FROM search) AS first, ends.highest FROM ends
