-- What timeline this is, and which held attempts (%(ids)s, %(attempts)s) are not this worker's on it. One of a task that
-- is SCHEDULED here was another worker's on this timeline, or has ended: the next start has another number.
SELECT database_timeline(),
       ARRAY(SELECT h.id
               FROM unnest(%(ids)s::uuid[], %(attempts)s::int[]) AS h(id, attempt)
               LEFT JOIN tasks t ON t.id = h.id
              WHERE t.id IS NULL OR t.attempt <> h.attempt OR t.worker_id IS DISTINCT FROM %(worker_id)s
                 OR t.status = 'SCHEDULED')
