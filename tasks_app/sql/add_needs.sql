-- Make the needs %(digests)s with their %(labels)s, %(conditions)s and %(slots)s, or note that they are used; all of them, or only
-- those that are there or have no labels when there would be more than %(most)s with labels (NULL: without a bound). In the
-- order of their digests, so that two who make several wait for each other and do not deadlock. Not the ORM: an upsert that
-- returns what was there.
WITH asked AS MATERIALIZED (
  SELECT * FROM unnest(%(digests)s::text[], %(labels)s::text[], %(conditions)s::text[], %(slots)s::smallint[])
                AS a(digest, labels, condition, slots)
),
new AS (
  SELECT count(*) AS n FROM asked a
   WHERE a.labels <> '{}' AND NOT EXISTS (SELECT FROM task_needs t WHERE t.digest = a.digest)
)
INSERT INTO task_needs (digest, labels, condition, slots)
SELECT digest, labels::jsonb, condition::jsonpath, slots
  FROM asked a
 WHERE %(most)s::int IS NULL OR a.labels = '{}'
    OR (SELECT n FROM new) + (SELECT count(*) FROM task_needs WHERE labels <> '{}') <= %(most)s::int
    OR EXISTS (SELECT FROM task_needs t WHERE t.digest = a.digest)
 ORDER BY digest
    ON CONFLICT (digest) DO UPDATE SET used_at = now()
RETURNING digest, id
