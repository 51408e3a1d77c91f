-- Lock at most %(limit)s schedules that have something to decide, the longest overdue first, and return them as
-- `stored.StoredSchedule`. Those another scheduler is deciding are passed over.
--
-- A statement of its own: what is asked about the locked schedules afterwards (their open tasks, their calendars) is then
-- seen as it is after the lock, also when another scheduler has just decided one of them.
-- Index: schedules_due, so that schedules that are not due cost nothing. Not the ORM: it runs on the engine's session.
SELECT id, name, cron, interval_seconds, rrule, timezone, anchor_at, start_at, end_at, jitter_seconds, misfire_policy,
       misfire_max_runs, misfire_grace_seconds, overlap, dst_gap, dst_fold, calendars, task::text, paused_at, resumed_at,
       next_slot, last_slot, last_local, last_fire_at, zone_rules, put_offs, callback::text,
       now(), task IS NULL OR NOT is_unbounded(task ->> 'queue')
  FROM schedules
 WHERE next_fire_at <= now()
 ORDER BY next_fire_at
 LIMIT %(limit)s
   FOR NO KEY UPDATE SKIP LOCKED
