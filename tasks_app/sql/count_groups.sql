-- Count the failures of each group from %(since)s to before %(until)s, of one queue and one group if these are named, and return a page of
-- the groups with those counts, with how many groups there are and with the task whose attempt was the last of each. A page behind the
-- last has one row of NULLs, for the total. One walk over narrow rows, and a probe for each group of the page. Not the ORM: it has no
-- count beside a page. Indexes: task_failures_at (BRIN) for a short time; task_failures_group.
WITH counted AS MATERIALIZED (
  SELECT f.fingerprint, count(*) AS count, min(f.at) AS first, max(f.at) AS last
    FROM task_failures f
   WHERE f.at >= %(since)s AND f.at < %(until)s::timestamptz
     AND (%(queue)s::text IS NULL OR f.queue = %(queue)s::text)
     AND (%(fingerprint)s::text IS NULL OR f.fingerprint = %(fingerprint)s::text)
   GROUP BY f.fingerprint
),
wanted AS MATERIALIZED (
  -- Without the messages, which are read of the page alone: there may be as many groups as failures.
  SELECT c.fingerprint, c.count, c.first, c.last,
         row_number() OVER (
           ORDER BY %(sign)s * CASE WHEN %(by_count)s THEN c.count ELSE extract(epoch FROM c.last) END,
                    c.last DESC, c.fingerprint) AS place
    FROM counted c
    JOIN failure_groups g ON g.fingerprint = c.fingerprint
   WHERE (%(type)s::text IS NULL OR g.type = %(type)s::text) AND (%(code)s::text IS NULL OR g.code = %(code)s::text)
)
SELECT (SELECT count(*) FROM wanted)::int AS groups,
       w.fingerprint, g.type, g.code, g.message, w.count, w.first, w.last,
       (SELECT f.task_id
          FROM task_failures f
         WHERE f.fingerprint = w.fingerprint AND f.at <= w.last
           AND (%(queue)s::text IS NULL OR f.queue = %(queue)s::text)
         ORDER BY f.at DESC
         LIMIT 1) AS sample
  FROM (SELECT) AS one
  LEFT JOIN wanted w ON w.place > %(offset)s AND w.place <= %(offset)s + %(size)s
  LEFT JOIN failure_groups g ON g.fingerprint = w.fingerprint
 ORDER BY w.place
