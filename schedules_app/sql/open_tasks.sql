-- The tasks of %(schedules)s that have not ended, oldest first, at most a thousand of each.
-- Index: tasks_schedule_open. Not the ORM: it runs on the engine's session.
SELECT s.id, ARRAY(SELECT t.id FROM tasks t
                    WHERE t.schedule_id = s.id AND t.schedule_id IS NOT NULL AND t.finished_at IS NULL
                    ORDER BY t.id
                    LIMIT 1000)
  FROM unnest(%(schedules)s::uuid[]) AS s(id)
