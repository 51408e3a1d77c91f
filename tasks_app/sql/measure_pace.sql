-- How fast a queue moves: how many of its tasks have ended in the last so many seconds, which are a minute, or as far back as
-- the last 2,000 of all queues go. Index: tasks_ended. Not the ORM: an aggregate over the first rows of an index.
SELECT count(*) FILTER (WHERE l.queue = %(queue)s AND l.finished_at > now() - interval '1 minute') AS ended,
       CASE WHEN count(*) < 2000 THEN 60
            ELSE least(60, greatest(0.001, extract(epoch FROM now() - min(l.finished_at)))) END::float8 AS ended_in
  FROM (SELECT queue, finished_at FROM tasks WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 2000) AS l
