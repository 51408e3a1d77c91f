-- Note what a piece of a bulk operation has done, in its transaction, and when the next is due: by the rate from when this
-- one was due, so that no delay slows the operation down; and %(rest)s s from now at the least, so that no outage is made up
-- for. The caller has taken the operation. Returns in how many seconds the next piece is due. Index: the primary key.
UPDATE bulk_operations
   SET position = %(position)s, held = %(held)s::uuid[], skips = %(skips)s::jsonb, touched = touched + %(touched)s::int,
       skipped = skipped + %(skipped)s::int, failed = failed + %(failed)s::int, error = coalesce(%(error)s::text, error),
       state = %(state)s::text, finished_at = CASE WHEN %(state)s::text IN ('DONE', 'FAILED') THEN clock_timestamp() END,
       due_at = greatest(
         clock_timestamp() + make_interval(secs => %(rest)s),
         due_at + make_interval(secs => coalesce((%(touched)s::int + %(failed)s::int)::float / rate_per_second, 0))),
       version = version + CASE WHEN %(state)s::text = 'RUNNING' THEN 0 ELSE 1 END, updated_at = now()
 WHERE id = %(id)s AND state = 'RUNNING'
RETURNING extract(epoch FROM due_at - clock_timestamp())::float AS rest
