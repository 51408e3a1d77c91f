-- Open the gate for what waits for a target, as many tasks of each host as it has room and tokens for: by priority, then due
-- time; 1,000 at most. Looks at no more than %(limit)s hosts a call, after the host %(after)s. Returns the last host looked at
-- (NULL: the end), how many hosts were, how many tasks were opened, and in how many seconds the first host stops backing off
-- or has a token.
--
-- May be called at any time by anybody: what was opened too soon is parked again by the pass that meets it.
-- Indexes: tasks_gated_target, hopped from host to host, tasks_limited_target.
WITH RECURSIVE hosts(host, n) AS (
  (SELECT target, 1 FROM tasks
    WHERE gate = 5 AND worker_id IS NULL AND finished_at IS NULL AND target > %(after)s::text
    ORDER BY target
    LIMIT 1)
  UNION ALL
  SELECT hop.target, hosts.n + 1
    FROM hosts
    CROSS JOIN LATERAL (
      SELECT target FROM tasks
       WHERE gate = 5 AND worker_id IS NULL AND finished_at IS NULL AND target > hosts.host
       ORDER BY target
       LIMIT 1) AS hop
   WHERE hosts.n < %(limit)s
),
room AS MATERIALIZED (
  SELECT h.host, h.n,
         extract(epoch FROM CASE WHEN g.backing_off_until > now() THEN greatest(g.backing_off_until, r.next_at)
                                 ELSE r.next_at END - now()) AS away,
         CASE WHEN g.backing_off_until > now() THEN 0
              ELSE least(1000, r.tokens, CASE WHEN g.max_concurrency IS NOT NULL THEN
                     greatest(0, g.max_concurrency - (
                       SELECT count(*)::int FROM tasks t
                        WHERE t.limited AND t.target = h.host AND t.worker_id IS NOT NULL AND t.finished_at IS NULL)) END)
         END AS tasks
    FROM hosts h
    LEFT JOIN targets g ON g.host = h.host
    LEFT JOIN rated_targets r ON r.name = h.host
),
to_open AS MATERIALIZED (
  SELECT t.id
    FROM room r
    CROSS JOIN LATERAL (
      SELECT w.id FROM tasks w
       WHERE w.gate = 5 AND w.worker_id IS NULL AND w.finished_at IS NULL AND w.target = r.host
       ORDER BY w.priority DESC, w.run_at, w.id
       LIMIT r.tasks) AS first
    JOIN tasks t ON t.id = first.id
   WHERE t.gate = 5 AND t.status = 'PENDING'
     FOR NO KEY UPDATE OF t SKIP LOCKED
),
opened AS (UPDATE tasks t SET gate = 0 FROM to_open o WHERE t.id = o.id RETURNING t.id)
SELECT (SELECT host FROM room WHERE n >= %(limit)s) AS last_host, (SELECT count(*)::int FROM room) AS hosts,
       (SELECT count(*)::int FROM opened) AS opened, (SELECT min(away)::float8 FROM room) AS next_in
