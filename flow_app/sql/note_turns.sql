-- Note where the turns of the queues %(queues)s stand: %(tenants)s were served last, and have had %(used)s turns in a row.
-- Runs in a transaction that has taken the pass, so that nobody else writes these rows.
INSERT INTO queue_turns (queue, tenant, used)
SELECT n.queue, n.tenant, n.used
  FROM unnest(%(queues)s::text[], %(tenants)s::text[], %(used)s::int[]) AS n(queue, tenant, used)
    ON CONFLICT (queue) DO UPDATE SET tenant = excluded.tenant, used = excluded.used
