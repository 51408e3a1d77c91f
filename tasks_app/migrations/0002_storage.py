"""What Django's model state cannot say: storage parameters, the concurrency-key trigger, the row of the pass."""

from django.db import migrations

STORAGE = """
-- Room on each page for the starts of nearly all rows on it (HOT), and vacuum early: dead versions at the head of the
-- due index cost every pass. Ended tasks are never updated, so the space comes back when they are deleted.
ALTER TABLE tasks SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
                       autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.05,
                       autovacuum_vacuum_cost_delay = 0);
ALTER TABLE task_executions SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1);
INSERT INTO scheduler_pass (name) VALUES ('assign');
"""

RELEASE_KEY = """
-- When the holder, or the visible candidate, of a concurrency key makes way, the next parked task becomes visible to the
-- assignment pass. A trigger, because eight statements release keys and a ninth would forget to. SKIP LOCKED: whoever
-- holds the parked row's lock is about to cancel or edit it; release_idle_keys.sql finds what a rollback left behind.
CREATE FUNCTION tasks_release_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE tasks
     SET key_blocked = false
   WHERE id = (SELECT id FROM tasks
                WHERE queue = OLD.queue AND concurrency_key = OLD.concurrency_key
                  AND worker_id IS NULL AND finished_at IS NULL AND key_blocked
                ORDER BY priority DESC, run_at, id
                LIMIT 1
                FOR NO KEY UPDATE SKIP LOCKED);
  RETURN NULL;
END $$;
CREATE TRIGGER tasks_release_key AFTER UPDATE ON tasks FOR EACH ROW
  WHEN (OLD.concurrency_key IS NOT NULL AND OLD.finished_at IS NULL AND NOT OLD.key_blocked
        AND (NEW.finished_at IS NOT NULL OR NEW.queue <> OLD.queue OR NEW.run_at > OLD.run_at
             OR OLD.worker_id IS NOT NULL AND NEW.worker_id IS NULL))
  EXECUTE FUNCTION tasks_release_key();
"""

UNDO = """
DROP TRIGGER tasks_release_key ON tasks;
DROP FUNCTION tasks_release_key();
DELETE FROM scheduler_pass;
"""


class Migration(migrations.Migration):
    dependencies = [("tasks_app", "0001_initial")]
    operations = [migrations.RunSQL(STORAGE, migrations.RunSQL.noop), migrations.RunSQL(RELEASE_KEY, UNDO)]
