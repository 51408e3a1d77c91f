-- Have the buckets of the keys of the queue %(queue)s fit its new rate for each key: %(limit)s in %(period)s seconds and %(burst)s;
-- NULL: it has none any more. Before, it had %(old_limit)s in %(old_period)s seconds: what was taken stays taken. NULL: it had
-- none, and buckets that are left of an earlier one begin with one token. All are looked at by open_keys.sql next.
--
-- In Python `flow_app.rates.Bucket.under`. In the transaction of the change, with the pass held.
UPDATE key_buckets b
   SET opens_at = now(),
       task_ids = CASE WHEN %(old_limit)s::int IS NULL THEN '{}' ELSE b.task_ids END,
       attempts = CASE WHEN %(old_limit)s::int IS NULL THEN '{}' ELSE b.attempts END,
       full_at = CASE
         WHEN %(limit)s::int IS NULL THEN b.full_at
         WHEN %(old_limit)s::int IS NULL
         THEN now() + interval '1 microsecond' * (%(burst)s::bigint * %(period)s::int * 1000000 / %(limit)s::int)
         ELSE now() + least(
                rate_span(%(burst)s::int + 1, %(limit)s::int, %(period)s::int),
                interval '1 microsecond' * ceil(
                  greatest(0, extract(epoch FROM b.full_at - now())) * 1000000
                  * %(old_limit)s::numeric * %(period)s::numeric / (%(old_period)s::numeric * %(limit)s::numeric))::bigint) END
 WHERE b.queue = %(queue)s
