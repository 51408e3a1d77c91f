-- Open the gate of the tasks %(ids)s, which the caller holds: those they depend on let them run. What was due before is due
-- from now on, by the clock and not by the beginning of a long round, so that no survey that begins at its floor misses it.
UPDATE tasks t
   SET status = 'PENDING', gate = 0, run_at = greatest(t.run_at, clock_timestamp()), version = t.version + 1, updated_at = now()
 WHERE t.id = ANY(%(ids)s::uuid[]) AND t.gate = 2 AND t.status = 'PENDING'
