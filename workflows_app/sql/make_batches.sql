-- Make the batches of slots of schedules that there are not, and return their ids. Each id follows from its schedule and slot, so
-- that of two who make the same batch the second makes nothing. Not the ORM: it runs on the engine's session.
INSERT INTO batches (id, created_at, updated_at, name, status, look, has_dependents, schedule_id, scheduled_for, fail_fast,
                     fail_fast_is_percent, on_complete, on_success, on_failure, created_by, correlation_id, idempotency_key)
SELECT id, created_at, now(), name, 'RUNNING', true, awaited, schedule_id, slot, fail_fast, percent, on_complete::jsonb,
       on_success::jsonb, on_failure::jsonb, created_by, correlation_id, idempotency_key
  FROM unnest(%(ids)s::uuid[], %(created)s::timestamptz[], %(names)s::text[], %(awaited)s::boolean[], %(schedules)s::uuid[],
              %(slots)s::timestamptz[], %(limits)s::int[], %(percents)s::boolean[], %(on_completes)s::text[], %(on_successes)s::text[],
              %(on_failures)s::text[], %(created_by)s::text[], %(correlations)s::text[], %(keys)s::text[])
       AS new(id, created_at, name, awaited, schedule_id, slot, fail_fast, percent, on_complete, on_success, on_failure,
              created_by, correlation_id, idempotency_key)
    ON CONFLICT (id) DO NOTHING
RETURNING id
