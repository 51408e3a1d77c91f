-- Note that freezes whose time has come hold nothing any more. One of queues only is over with it; what waited behind another one
-- is let go from then on (release_frozen.sql). Returns which, and the queues of each, whose rows are to say so (freeze_queues.sql).
--
-- Nothing depends on how soon: whatever asks for freezes compares their time itself. Runs in a transaction that has taken
-- the pass, and finds nothing in any other: a pass that has seen such a freeze has committed what it parked behind it before
-- anybody looks for that. Index: freezes_going.
WITH due AS MATERIALIZED (
  SELECT id, queues, until, types = '{}' AND targets = '{}' AS is_wide
    FROM freezes
   WHERE ended_at IS NULL AND thawed_at IS NULL AND until <= now() AND current_setting('scheduler.pass', true) = 'held'
   ORDER BY id
     FOR NO KEY UPDATE
),
thawed AS (
  UPDATE freezes f
     SET thawed_at = d.until, thawed_by = 'scheduler', ended_at = CASE WHEN d.is_wide THEN now() END, version = f.version + 1
    FROM due d
   WHERE f.id = d.id
),
events AS (
  INSERT INTO audit_events (actor, action, target, reason)
  SELECT 'scheduler', 'freeze.thawed', 'freeze:' || id, 'its time was over' FROM due
)
SELECT id, queues FROM due
