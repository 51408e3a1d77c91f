-- Store chunks of the output of running attempts, and delete those that have come to lie between head and tail. One statement
-- for all tasks of a worker, because a commit costs the same for one as for many. It may be sent again when its reply was lost:
-- a chunk is known by its place. Stored are those of attempts that have been started: this one, by its start, or one before it;
-- what a former primary has started, and a failover forgotten, stays out of what is numbered alike. Deleted tasks get no output.
-- Index: the primary keys. Not the ORM: one trip, and the clock of the database.
WITH trimmed AS (
  DELETE FROM task_output o
   USING unnest(%(trim_ids)s::uuid[], %(trim_attempts)s::int[], %(trim_afters)s::bigint[], %(trim_uptos)s::bigint[])
           AS g(task_id, attempt, after, upto)
   WHERE o.task_id = g.task_id AND o.attempt = g.attempt AND o.seq > g.after AND o.seq <= g.upto
),
stored AS (
  INSERT INTO task_output (task_id, attempt, seq, size, line, at, stream, text)
  SELECT c.task_id, c.attempt, c.seq, c.size, c.line, clock_timestamp() - c.age * interval '1 second', c.stream, c.text
    FROM unnest(%(ids)s::uuid[], %(attempts)s::int[], %(starts)s::timestamptz[], %(ages)s::float8[], %(seqs)s::bigint[],
                %(sizes)s::int[], %(lines)s::bigint[], %(streams)s::text[], %(texts)s::text[])
           AS c(task_id, attempt, started_at, age, seq, size, line, stream, text)
    JOIN tasks t ON t.id = c.task_id
   WHERE t.attempt > c.attempt OR (t.attempt = c.attempt AND t.started_at = c.started_at)
      ON CONFLICT DO NOTHING
  RETURNING 1
)
SELECT count(*) FROM stored
