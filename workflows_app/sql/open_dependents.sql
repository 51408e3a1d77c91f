-- Open the gate of the tasks %(ids)s, which the caller holds: those they depend on let them run. What was due before is due
-- from now on, by the clock and not by the beginning of a long round, so that no survey that begins at its floor misses it. What
-- needs an approval is asked for now: its gate is APPROVAL instead.
UPDATE tasks t
   SET status = 'PENDING', gate = CASE WHEN t.approval IS NULL THEN 0 ELSE 3 END,
       approval_asked_at = CASE WHEN t.approval IS NOT NULL THEN now() END,
       approval_ends_at = now() + make_interval(secs => (t.approval->>'timeoutSeconds')::int), run_at = greatest(t.run_at, clock_timestamp()), version = t.version + 1, updated_at = now()
 WHERE t.id = ANY(%(ids)s::uuid[]) AND t.gate = 2 AND t.status = 'PENDING'
