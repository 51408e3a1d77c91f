-- The facts behind "why is this task not running?" in one read of one PENDING task. Bounded: it counts at most 10,000
-- tasks ahead, and 1,000 of its concurrency key. Indexes: the primary key, tasks_key_held, tasks_key_waiting, tasks_owned, tasks_limited, tasks_limited_target, tasks_due,
-- tasks_labelled, tasks_ended. Not the ORM: seven lateral look-ups.
SELECT t.run_at <= now() AS due, coalesce(t.expires_at <= now(), false) AS expired,
       q.name IS NOT NULL AS paused, q.pause_reason, q.paused_until,
       held.holders, held.n AS held, line.firsts, line.n AS firsts_of_key, coalesce(e.paused, false) AS key_paused,
       coalesce(e.max_concurrency, k.key_max_concurrency, 1) AS key_limit, l.max_concurrency,
       (SELECT count(*) FROM tasks o
         WHERE o.limited AND o.queue = t.queue AND o.worker_id IS NOT NULL AND o.finished_at IS NULL) AS limited,
       now() AS now,
       g.max_concurrency AS target_limit,
       CASE WHEN g.backing_off_until > now() THEN g.backing_off_until END AS target_back_at,
       (SELECT count(*) FROM tasks o
         WHERE o.limited AND o.target = g.host AND o.worker_id IS NOT NULL AND o.finished_at IS NULL) AS target_calls,
       (SELECT count(*) FROM worker_heartbeats s
         WHERE s.state = 'ACTIVE' AND (s.queues IS NULL OR t.queue = ANY(s.queues))) AS serving_workers,
       w.live AS live_workers, w.free AS free_slots, w.most_free, w.free_for_suspect,
       EXISTS (SELECT FROM task_needs WHERE slots > 1) AS any_costly,
       EXISTS (SELECT FROM scheduler_heartbeats
                WHERE stopped_at IS NULL AND last_heartbeat_at > now() - make_interval(secs => %(silence)s))
         AS scheduler_alive,
       ahead.n AS ahead, 10000 AS ahead_limit, pace.ended, pace.ended_in
  FROM tasks t
  LEFT JOIN paused_queues q ON q.name = t.queue
  LEFT JOIN limited_queues l ON l.name = t.queue
  LEFT JOIN targets g ON g.host = t.target
  LEFT JOIN queues k ON k.name = t.queue AND NOT starts_with(t.concurrency_key, 'schedule:')
  LEFT JOIN queue_keys e ON e.queue = t.queue AND e.key = t.concurrency_key
  LEFT JOIN LATERAL (
    SELECT count(*) AS n, (array_agg(h.id ORDER BY h.key_slot))[:5] AS holders FROM tasks h
     WHERE h.queue = t.queue AND h.concurrency_key = t.concurrency_key
       AND h.worker_id IS NOT NULL AND h.finished_at IS NULL) AS held ON t.concurrency_key IS NOT NULL
  LEFT JOIN LATERAL (
    SELECT priority_age_seconds AS age, aged_at(t.run_at, t.priority, priority_age_seconds) AS at
      FROM queues a WHERE a.name = t.queue AND a.priority_age_seconds IS NOT NULL) AS o ON true
  LEFT JOIN LATERAL (
    -- What comes first for its key, as look_at_keys.sql has it: the places that are free are kept for these.
    SELECT count(*) AS n, (array_agg(f.id))[:1] AS firsts
      FROM ((SELECT a.id FROM tasks a
              WHERE a.queue = t.queue AND a.concurrency_key = t.concurrency_key
                AND a.worker_id IS NULL AND a.finished_at IS NULL AND a.gate IN (0, 1, 6)
                AND a.run_at <= now() AND (a.expires_at IS NULL OR a.expires_at > now()) AND o.age IS NULL
                AND (a.priority > t.priority OR a.priority = t.priority AND (a.run_at, a.id) < (t.run_at, t.id))
              ORDER BY a.priority DESC, a.run_at, a.id
              LIMIT 1000)
            UNION ALL
            (SELECT a.id
               FROM aged_firsts(t.queue, t.concurrency_key, o.age, '{0,1,6}', 1000) AS g(id) JOIN tasks a ON a.id = g.id
              WHERE o.age IS NOT NULL AND (aged_at(a.run_at, a.priority, o.age), a.run_at, a.id) < (o.at, t.run_at, t.id)
              ORDER BY aged_at(a.run_at, a.priority, o.age), a.run_at, a.id)) AS f) AS line ON t.concurrency_key IS NOT NULL
  CROSS JOIN LATERAL (
    SELECT count(*) AS live, coalesce(sum(greatest(live.slots - owned.taken, 0)), 0) AS free,
           max(greatest(live.slots - owned.taken, 0)) AS most_free,
           count(*) FILTER (WHERE owned.suspects = 0 AND owned.taken + t.slots <= live.slots) AS free_for_suspect
      FROM worker_heartbeats live
      CROSS JOIN LATERAL (
        SELECT coalesce(sum(o.slots), 0) AS taken, count(*) FILTER (WHERE o.crash_count > 0) AS suspects FROM tasks o WHERE o.worker_id = live.worker_id AND o.finished_at IS NULL) AS owned
     WHERE live.state = 'ACTIVE' AND (live.queues IS NULL OR t.queue = ANY(live.queues))
       AND (t.needs_id IS NULL
            OR EXISTS (SELECT FROM met_needs m WHERE m.worker_id = live.worker_id AND m.needs_id = t.needs_id))) AS w
  CROSS JOIN LATERAL (
    SELECT count(*) AS n
      FROM (SELECT 1
              FROM generate_series(-100, 100) AS p(level)
              CROSS JOIN LATERAL (
                -- Of each priority, what was due before that, or just then and was created before.
                SELECT CASE WHEN o.age IS NOT NULL THEN aged_at(o.at, -p.level, o.age)
                            WHEN p.level > t.priority THEN 'infinity'
                            WHEN p.level = t.priority THEN t.run_at END AS due) AS b
              CROSS JOIN LATERAL (
                SELECT 1 FROM tasks a
                 WHERE a.worker_id IS NULL AND a.finished_at IS NULL AND a.gate = 0 AND a.crash_count = 0 AND a.needs_id IS NULL
                   AND t.needs_id IS NULL AND a.queue = t.queue AND a.priority = p.level AND a.run_at <= least(now(), b.due)
                   AND (a.run_at < b.due OR (a.run_at, a.id) < (t.run_at, t.id))
                UNION ALL
                SELECT 1 FROM tasks a
                 WHERE a.needs_id IS NOT NULL AND a.worker_id IS NULL AND a.finished_at IS NULL AND a.gate = 0 AND a.crash_count = 0
                   AND a.needs_id = t.needs_id AND a.queue = t.queue AND a.priority = p.level
                   AND a.run_at <= least(now(), b.due)
                   AND (a.run_at < b.due OR (a.run_at, a.id) < (t.run_at, t.id))) AS line
             WHERE b.due IS NOT NULL
             LIMIT 10000) AS first) AS ahead
  CROSS JOIN LATERAL (
    -- How fast the queue moves: its last 200 of the last 2,000 tasks that ran and ended, none older than an hour.
    SELECT count(*) AS ended, extract(epoch FROM max(its.finished_at) - min(its.finished_at))::float8 AS ended_in
      FROM (SELECT l.finished_at
              FROM (SELECT queue, started_at, finished_at FROM tasks e WHERE e.finished_at IS NOT NULL
                     ORDER BY e.finished_at DESC LIMIT 2000) AS l
             WHERE l.queue = t.queue AND l.started_at IS NOT NULL AND l.finished_at > now() - interval '1 hour'
             ORDER BY l.finished_at DESC LIMIT 200) AS its) AS pace
 WHERE t.id = %(id)s AND t.status = 'PENDING'
