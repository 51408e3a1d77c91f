-- Which of the queues %(queues)s take no more than so many waiting tasks, all in all or of each of the concurrency keys that
-- stand beside them in %(keys)s: a row for each such bound, of which the key is NULL where it is about the queue. ``waiting`` is
-- how many wait, counted to one more than the bound; NULL where that is above %(each_time)s, or the caller knows it (%(known)s: queue, blank, key).
-- Keys by which schedules keep their tasks from overlapping have no bound of their own.
--
-- Indexes: queues_bounded, and those of `waiting_tasks`. Not the ORM: creators, schedulers and tests all run it on cursors of
-- their own.
SELECT b.queue, b.concurrency_key, b.most,
       CASE WHEN b.most <= %(each_time)s AND b.queue || ' ' || coalesce(b.concurrency_key, '') <> ALL (%(known)s::text[])
            THEN waiting_tasks(b.queue, b.concurrency_key, b.most + 1) END AS waiting
  FROM (SELECT name AS queue, NULL::text AS concurrency_key, max_waiting AS most
          FROM bounded_queues
         WHERE name = ANY(%(queues)s::text[]) AND max_waiting IS NOT NULL
        UNION ALL
        SELECT DISTINCT q.name, k.concurrency_key, q.key_max_waiting
          FROM unnest(%(queues)s::text[], %(keys)s::text[]) AS k(queue, concurrency_key)
          JOIN bounded_queues q ON q.name = k.queue
         WHERE k.concurrency_key IS NOT NULL AND NOT starts_with(k.concurrency_key, 'schedule:')
           AND q.key_max_waiting IS NOT NULL) AS b
