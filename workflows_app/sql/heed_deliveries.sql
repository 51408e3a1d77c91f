-- What the ends of deliveries mean for the endpoints %(endpoints)s: since when each fails (%(failing_since)s; NULL: it does not), and
-- why it is disabled from now on, if it is (%(disabled)s). An endpoint that somebody has disabled meanwhile stays as it is. Not the
-- ORM: it is part of a round of a scheduler.
WITH heard AS MATERIALIZED (
  SELECT e.id, e.name, h.failing_since, h.disabled
    FROM unnest(%(endpoints)s::uuid[], %(failing_since)s::timestamptz[], %(disabled)s::text[]) AS h(id, failing_since, disabled)
    JOIN webhook_endpoints e ON e.id = h.id
   WHERE e.disabled IS NULL
   ORDER BY e.id
     FOR NO KEY UPDATE OF e
),
changed AS (
  UPDATE webhook_endpoints e
     SET failing_since = CASE WHEN h.disabled IS NULL THEN h.failing_since END, disabled = h.disabled,
         disabled_at = CASE WHEN h.disabled IS NOT NULL THEN now() END,
         version = e.version + CASE WHEN h.disabled IS NOT NULL THEN 1 ELSE 0 END
    FROM heard h
   WHERE e.id = h.id
)
INSERT INTO audit_events (actor, action, target, reason, correlation_id)
SELECT 'scheduler', 'endpoint.disabled', 'endpoint:' || h.name,
       CASE h.disabled WHEN 'gone' THEN 'it answered 410' ELSE 'nothing has arrived for five days' END, ''
  FROM heard h
 WHERE h.disabled IS NOT NULL
