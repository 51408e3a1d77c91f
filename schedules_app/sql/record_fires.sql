-- Write the decisions about a batch of locked schedules to the ledger, and how far each schedule is decided now, in one
-- statement; also of those that could not be decided, how often and why not. Returns
-- the tasks and batches that are to be made: those of slots that nobody had decided before.
--
-- ON CONFLICT: whatever else happened, a slot that has a row makes no second task. Indexes: fires_slot, the primary keys.
WITH decided AS (
  INSERT INTO schedule_fires (schedule_id, slot, last_slot, due_at, state, note, task_id, batch_id)
  SELECT *
    FROM unnest(%(fires)s::uuid[], %(slots)s::timestamptz[], %(last_slots)s::timestamptz[], %(due)s::timestamptz[],
                %(states)s::text[], %(notes)s::text[], %(tasks)s::uuid[], %(batches)s::uuid[])
  ON CONFLICT (schedule_id, slot) DO NOTHING
  RETURNING task_id, batch_id
),
moved AS (
  UPDATE schedules s
     SET next_slot = m.next_slot, next_fire_at = m.next_fire_at, last_slot = m.last_slot, last_local = m.last_local,
         last_fire_at = m.last_fire_at, zone_rules = m.zone_rules, put_offs = m.put_offs, put_off_reason = m.reason
    FROM unnest(%(schedules)s::uuid[], %(next_slots)s::timestamptz[], %(next_fires)s::timestamptz[],
                %(decided)s::timestamptz[], %(locals)s::timestamptz[], %(fired)s::timestamptz[], %(rules)s::text[],
                %(put_offs)s::int[], %(reasons)s::text[])
         AS m(id, next_slot, next_fire_at, last_slot, last_local, last_fire_at, zone_rules, put_offs, reason)
   WHERE s.id = m.id
)
SELECT coalesce(task_id, batch_id) FROM decided WHERE task_id IS NOT NULL OR batch_id IS NOT NULL
