-- Let the rows of the queues %(names)s say whether a freeze holds them, and until when the last of them does; NULL: one has no end.
-- Runs with the pass held. Not the ORM: a row is made where there is none, and one that stays as it is keeps its version.
INSERT INTO queues AS q (name, frozen, frozen_until)
SELECT n.name, count(f.id) > 0, CASE WHEN bool_and(f.until IS NOT NULL) THEN max(f.until) END
  FROM unnest(%(names)s::text[]) AS n(name)
  LEFT JOIN open_freezes f ON n.name = ANY(f.queues)
 GROUP BY n.name
 ORDER BY n.name
    ON CONFLICT (name) DO UPDATE
   SET frozen = excluded.frozen, frozen_until = excluded.frozen_until, version = q.version + 1
 WHERE (q.frozen, q.frozen_until) IS DISTINCT FROM (excluded.frozen, excluded.frozen_until)
