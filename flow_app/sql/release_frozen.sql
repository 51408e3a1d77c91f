-- Open the gate for what waited behind the freeze %(freeze)s, which is thawed, and no other one holds: of the next %(limit)s tasks
-- that wait behind any freeze, from behind the place %(level)s, %(run_at)s, %(id)s on, those it covers; by priority, then due time.
-- With a rate, no more than there are tokens for. %(clean)s: nothing of it was found in this walk so far. A walk that finds
-- nothing from its beginning to its end ends the freeze. No %(freeze)s: what no freeze covers that is not over, which is
-- there when somebody has changed rows by hand.
--
-- Returns the place up to which all is done (NULL: the end), how many tasks it covers were met and how many opened, whether
-- it has ended, and in how many seconds to go on. Nothing while another scheduler does it. What is opened too soon is parked
-- again by the pass that meets it. Index: tasks_frozen, whose expressions are written out.
WITH thaw AS MATERIALIZED (
  SELECT f.id, f.types, f.targets, f.thaw_limit, f.thaw_period, f.thaw_burst,
         greatest(f.thaw_full_at, now()) AS full_at,
         CASE WHEN f.thaw_limit IS NULL THEN %(limit)s
              ELSE least(%(limit)s, rate_tokens(f.thaw_full_at, now(), f.thaw_limit, f.thaw_period, f.thaw_burst)) END AS tokens
    FROM freezes f
   WHERE f.id = %(freeze)s::uuid AND f.ended_at IS NULL AND f.thawed_at IS NOT NULL
     FOR NO KEY UPDATE SKIP LOCKED
),
seen AS MATERIALIZED (
  SELECT t.id, t.priority * -1 AS level, t.run_at, t.type, t.target
    FROM tasks t
   WHERE t.gate - 7 = 0 AND t.finished_at IS NULL
     AND (%(freeze)s::uuid IS NULL OR EXISTS (SELECT FROM thaw))
     AND (t.priority * -1, t.run_at, t.id) > (%(level)s::int, %(run_at)s::timestamptz, %(id)s::uuid)
   ORDER BY t.priority * -1, t.run_at, t.id
   LIMIT %(limit)s
),
wanted AS MATERIALIZED (
  SELECT s.id, s.level, s.run_at, row_number() OVER (ORDER BY s.level, s.run_at, s.id) AS number
    FROM seen s
   WHERE NOT is_frozen(s.type, s.target)
     AND CASE WHEN %(freeze)s::uuid IS NULL
              THEN NOT EXISTS (SELECT FROM freezes f
                                WHERE f.ended_at IS NULL AND (s.type = ANY(f.types) OR s.target = ANY(f.targets)))
              ELSE EXISTS (SELECT FROM thaw f WHERE s.type = ANY(f.types) OR s.target = ANY(f.targets)) END
),
to_open AS MATERIALIZED (
  SELECT t.id FROM tasks t
   WHERE t.id = ANY(ARRAY(SELECT id FROM wanted WHERE number <= coalesce((SELECT tokens FROM thaw), %(limit)s)))
     AND t.gate = 7 AND t.status = 'PENDING'
     FOR NO KEY UPDATE SKIP LOCKED
),
opened AS (UPDATE tasks t SET gate = 0 FROM to_open o WHERE t.id = o.id RETURNING t.id),
done AS MATERIALIZED (
  SELECT m.met, m.opened, m.all_seen, m.refused, %(clean)s::boolean AND m.all_seen AND m.met = 0 AS over
    FROM (SELECT (SELECT count(*)::int FROM wanted) AS met, (SELECT count(*)::int FROM opened) AS opened,
                 (SELECT count(*) FROM seen) < %(limit)s AS all_seen,
                 (SELECT count(*) FROM wanted) > coalesce((SELECT tokens FROM thaw), %(limit)s) AS refused) AS m
),
place AS MATERIALIZED (
  -- The last one that was met, or before the first one without a token.
  SELECT level, run_at, id FROM seen
   WHERE CASE WHEN (SELECT refused FROM done)
              THEN (level, run_at, id) < (SELECT w.level, w.run_at, w.id FROM wanted w
                                           WHERE w.number = (SELECT tokens + 1 FROM thaw))
              ELSE NOT (SELECT all_seen FROM done) END
   ORDER BY level DESC, run_at DESC, id DESC
   LIMIT 1
),
noted AS (
  UPDATE freezes f
     SET thaw_full_at = t.full_at + rate_span(d.opened, t.thaw_limit, t.thaw_period),
         ended_at = CASE WHEN d.over THEN now() END, version = f.version + CASE WHEN d.over THEN 1 ELSE 0 END
    FROM thaw t, done d
   WHERE f.id = t.id AND (d.opened > 0 OR d.over)
)
SELECT CASE WHEN p.id IS NULL AND d.refused THEN %(level)s::int ELSE p.level END AS level,
       CASE WHEN p.id IS NULL AND d.refused THEN %(run_at)s::text ELSE p.run_at::text END AS run_at,
       CASE WHEN p.id IS NULL AND d.refused THEN %(id)s::uuid ELSE p.id END AS task_id,
       d.met, d.opened, d.over,
       CASE WHEN d.refused
            THEN greatest(0.02, extract(epoch FROM t.full_at + rate_span(d.opened - t.thaw_burst, t.thaw_limit, t.thaw_period)
                                                   - now()))::float8
            ELSE 0 END AS next_in
  FROM done d
  LEFT JOIN thaw t ON true
  LEFT JOIN place p ON true
 WHERE %(freeze)s::uuid IS NULL OR t.id IS NOT NULL
