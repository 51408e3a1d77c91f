-- Note that tasks of several slots were given to workers by this pass: the next ones that take as much, %(needs)s, wait since
-- now. Returns nothing. A row that somebody uses for new tasks at this moment is passed over, because the pass waits for
-- nobody: then the next one may have slots kept for it sooner.
UPDATE task_needs
   SET given_at = now()
 WHERE id IN (SELECT n.id FROM task_needs n WHERE n.id = ANY(%(needs)s::int[]) FOR NO KEY UPDATE SKIP LOCKED)
