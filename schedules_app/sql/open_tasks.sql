-- What of %(schedules)s has not ended, oldest first, at most a thousand of each: their tasks, and their batches.
-- Indexes: tasks_schedule_open, batches_schedule_open. Not the ORM: it runs on the engine's session.
SELECT s.id, ARRAY(SELECT t.id FROM tasks t
                    WHERE t.schedule_id = s.id AND t.schedule_id IS NOT NULL AND t.finished_at IS NULL
                    ORDER BY t.id
                    LIMIT 1000),
             ARRAY(SELECT b.id FROM batches b
                    WHERE b.schedule_id = s.id AND b.schedule_id IS NOT NULL AND b.finished_at IS NULL
                    ORDER BY b.id
                    LIMIT 1000)
  FROM unnest(%(schedules)s::uuid[]) AS s(id)
