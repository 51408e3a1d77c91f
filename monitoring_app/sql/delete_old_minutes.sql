-- Delete rows of metric_minutes that are older than %(kept)s, up to %(limit)s of them; the primary key begins with what they
-- are found by. Returns how many. Not the ORM: it has no DELETE with a limit.
WITH old AS MATERIALIZED (
  SELECT span, at, kind, name
    FROM metric_minutes
   WHERE span IN (1, 10, 60) AND at < now() - %(kept)s::interval
   LIMIT %(limit)s
     FOR UPDATE SKIP LOCKED
),
deleted AS (
  DELETE FROM metric_minutes m USING old
   WHERE m.span = old.span AND m.at = old.at AND m.kind = old.kind AND m.name = old.name
  RETURNING 1
)
SELECT count(*) FROM deleted
