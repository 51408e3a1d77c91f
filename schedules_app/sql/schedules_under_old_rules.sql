-- Lock at most %(limit)s schedules whose next slot was computed under other rules of its zone than those of today, given
-- as pairs of %(zones)s and %(rules)s, and return them as `stored.StoredSchedule`.
-- Not the ORM: it runs on the engine's session.
SELECT s.id, s.name, s.cron, s.interval_seconds, s.rrule, s.timezone, s.anchor_at, s.start_at, s.end_at, s.jitter_seconds,
       s.misfire_policy, s.misfire_max_runs, s.misfire_grace_seconds, s.overlap, s.dst_gap, s.dst_fold, s.calendars,
       s.task::text, s.paused_at, s.resumed_at, s.next_slot, s.last_slot, s.last_local, s.last_fire_at, s.zone_rules,
       s.put_offs, s.callback::text, now(), false
  FROM unnest(%(zones)s::text[], %(rules)s::text[]) AS today(timezone, rules)
  JOIN schedules s ON s.timezone = today.timezone AND s.zone_rules <> today.rules
 WHERE s.next_fire_at IS NOT NULL
 ORDER BY s.id
 LIMIT %(limit)s
   FOR NO KEY UPDATE OF s SKIP LOCKED
