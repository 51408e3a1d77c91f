-- Lock what is assigned, has not started and is frozen now, and so wait for the starts that are under way: behind this
-- statement each of them has begun, or never will. In id order, as all do who wait for several tasks. Runs with the pass held.
-- Index: tasks_owned, all of it, which is as large as there are slots; found first, because a planner that believes the table
-- to be empty would walk over the primary key, which has the order.
WITH found AS MATERIALIZED (
  SELECT t.id
    FROM tasks t
   WHERE t.worker_id IS NOT NULL AND t.finished_at IS NULL AND t.status = 'SCHEDULED'
     AND is_frozen(t.queue, t.type, t.target)
)
SELECT t.id
  FROM tasks t
 WHERE t.id = ANY(ARRAY(SELECT id FROM found)) AND t.status = 'SCHEDULED' AND is_frozen(t.queue, t.type, t.target)
 ORDER BY t.id
   FOR NO KEY UPDATE OF t
