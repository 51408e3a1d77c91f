-- Count the failures of the groups %(fingerprints)s in each of the last %(hours)s hours, by how many hours ago that was; hours without any
-- have no row. Not the ORM: the clock is the database's. Index: task_failures_group, alone.
SELECT f.fingerprint, floor(extract(epoch FROM now() - f.at) / 3600)::int AS ago, count(*)::int AS count
  FROM task_failures f
 WHERE f.fingerprint = ANY(%(fingerprints)s::text[])
   AND f.at > now() - make_interval(hours => %(hours)s) AND f.at <= now()
 GROUP BY f.fingerprint, ago
