-- Note that freezes whose time has come hold nothing any more, and of which queues. One of queues only is over with it;
-- what waited behind another one is let go from then on (release_frozen.sql). Returns which, and when their time came.
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
held AS MATERIALIZED (
  SELECT n.name, count(f.id) > 0 AS frozen, CASE WHEN bool_and(f.until IS NOT NULL) THEN max(f.until) END AS until
    FROM (SELECT DISTINCT unnest(queues) AS name FROM due) AS n
    LEFT JOIN open_freezes f ON n.name = ANY(f.queues)
   GROUP BY n.name
),
freed AS (
  UPDATE queues q
     SET frozen = h.frozen, frozen_until = h.until, version = q.version + 1
    FROM held h
   WHERE q.name = h.name AND (q.frozen, q.frozen_until) IS DISTINCT FROM (h.frozen, h.until)
),
events AS (
  INSERT INTO audit_events (actor, action, target, reason)
  SELECT 'scheduler', 'freeze.thawed', 'freeze:' || id, 'its time was over' FROM due
)
SELECT id FROM due
