-- Lock the first due suspects (tasks that have lost a worker), as many for each class of workers as it has workers, because
-- each takes one: %(classes)s are their queues as the text of an array, NULL for all queues. Never waits for a task's lock.
--
-- One that needs something of its worker is passed over while no worker that meets it could take a suspect, or, until it has
-- waited for %(patience)s seconds, has slots enough for it.
-- Runs in a transaction that has taken the pass, and finds nothing in any other. One found for two classes comes once.
-- Index: tasks_suspects.
SELECT DISTINCT d.id AS task_id, d.queue, d.priority, d.run_at, d.concurrency_key, true AS suspect, d.target, d.needs_id,
       d.slots, d.waited
  FROM unnest(%(classes)s::text[]) AS c(queues)
  CROSS JOIN LATERAL (
    SELECT t.id, t.queue, t.priority, t.run_at, t.concurrency_key, t.needs_id, t.slots::int,
           extract(epoch FROM now() - t.run_at)::float8 AS waited,
           (SELECT g.host FROM targets g WHERE g.host = t.target) AS target
      FROM tasks t
     WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 0 AND t.crash_count > 0
       AND t.run_at <= now() AND (t.expires_at IS NULL OR t.expires_at > now())
       AND (c.queues IS NULL OR t.queue = ANY(c.queues::text[]))
       AND NOT EXISTS (SELECT FROM stopped_queues q WHERE q.name = t.queue)
       AND (t.needs_id IS NULL OR EXISTS (
         SELECT FROM met_needs m
          WHERE m.needs_id = t.needs_id AND m.state = 'ACTIVE' AND m.queues IS NOT DISTINCT FROM c.queues::text[]
            AND (SELECT count(*) FILTER (WHERE o.crash_count > 0) = 0
                    AND (t.slots = 1 OR coalesce(sum(o.slots), 0) + t.slots <= m.slots
                         OR t.run_at < now() - make_interval(secs => %(patience)s))
                   FROM tasks o WHERE o.worker_id = m.worker_id AND o.finished_at IS NULL)))
       AND current_setting('scheduler.pass', true) = 'held'
     ORDER BY t.priority DESC, t.run_at, t.id
     LIMIT (SELECT count(*) FROM worker_heartbeats w
             WHERE w.state = 'ACTIVE' AND w.queues IS NOT DISTINCT FROM c.queues::text[])
       FOR NO KEY UPDATE OF t SKIP LOCKED) AS d
