"""What must hold at every instant, as SQL that returns one count per invariant: the oracle of tests and of ``doctor``.

Each query counts rows that break a promise of ``docs/reliability.md``; zero everywhere is health. They read hot rows
through partial indexes and history over a bounded window, so they can be run on a live system.
"""

from __future__ import annotations

from typing import Final

from tasks_app.sessions import Session

#: Name of the promise, and the number of rows that break it.
QUERIES: Final[dict[str, str]] = {
    "a pending task has no worker": """
        SELECT count(*) FROM tasks WHERE status = 'PENDING' AND (worker_id IS NOT NULL OR finished_at IS NOT NULL)
           AND finished_at IS NULL""",
    "an assigned or running task has a worker": """
        SELECT count(*) FROM tasks WHERE worker_id IS NULL AND finished_at IS NULL AND status <> 'PENDING'""",
    "a slot of a concurrency key is held once": """
        SELECT count(*) FROM (
          SELECT 1 FROM tasks WHERE worker_id IS NOT NULL AND finished_at IS NULL AND concurrency_key IS NOT NULL
           GROUP BY queue, concurrency_key, key_slot HAVING count(*) > 1 OR key_slot IS NULL) AS doubled""",
    "a unique key is open once": """
        SELECT count(*) FROM (
          SELECT 1 FROM tasks WHERE unique_key IS NOT NULL AND finished_at IS NULL
           GROUP BY queue, unique_key HAVING count(*) > 1) AS doubled""",
    "a concurrency key has no more assigned than its limit": """
        SELECT count(*) FROM tasks t
          LEFT JOIN queues q ON q.name = t.queue AND NOT starts_with(t.concurrency_key, 'schedule:')
          LEFT JOIN queue_keys k ON k.queue = t.queue AND k.key = t.concurrency_key
         WHERE t.worker_id IS NOT NULL AND t.finished_at IS NULL AND t.concurrency_key IS NOT NULL
           AND t.status = 'SCHEDULED'
           AND t.key_slot >= CASE WHEN k.paused THEN 0
                                  ELSE coalesce(k.max_concurrency, q.key_max_concurrency, 1) END""",
    "a queue has no more assigned than its limit": """
        SELECT count(*) FROM limited_queues q
         WHERE q.max_concurrency < (SELECT count(*) FROM tasks t
                                     WHERE t.limited AND t.queue = q.name AND t.worker_id IS NOT NULL
                                       AND t.finished_at IS NULL AND t.status = 'SCHEDULED')""",
    "what a limited queue has assigned or running counts": """
        SELECT count(*) FROM tasks t JOIN limited_queues q ON q.name = t.queue
         WHERE t.worker_id IS NOT NULL AND t.finished_at IS NULL AND NOT t.limited""",
    "a rate has its bucket": """
        SELECT (SELECT count(*) FROM rated_queues WHERE bucket_id IS NULL)
             + (SELECT count(*) FROM rated_targets WHERE bucket_id IS NULL)""",
    "what is assigned of a queue with a rate has a token": """
        SELECT count(*) FROM tasks t JOIN rated_queues r ON r.name = t.queue
         WHERE t.worker_id IS NOT NULL AND t.finished_at IS NULL AND t.status = 'SCHEDULED'
           AND t.id <> ALL (r.task_ids)""",
    "what is assigned and calls a target with a rate has a token": """
        SELECT count(*) FROM tasks t JOIN rated_targets r ON r.name = t.target
         WHERE t.worker_id IS NOT NULL AND t.finished_at IS NULL AND t.status = 'SCHEDULED'
           AND t.id <> ALL (r.task_ids)""",
    "what is assigned and has a concurrency key with a rate has a token": """
        SELECT count(*) FROM tasks t CROSS JOIN LATERAL rated_key(t.queue, t.concurrency_key) AS r
         WHERE t.worker_id IS NOT NULL AND t.finished_at IS NULL AND t.status = 'SCHEDULED'
           AND t.concurrency_key IS NOT NULL AND t.id <> ALL (r.task_ids)""",
    "a target has no more assigned than its limit": """
        SELECT count(*) FROM targets g
         WHERE g.max_concurrency < (SELECT count(*) FROM tasks t
                                     WHERE t.limited AND t.target = g.host AND t.worker_id IS NOT NULL
                                       AND t.finished_at IS NULL AND t.status = 'SCHEDULED')""",
    "what a limited target has assigned or running counts": """
        SELECT count(*) FROM tasks t JOIN targets g ON g.host = t.target
         WHERE g.max_concurrency IS NOT NULL AND t.worker_id IS NOT NULL AND t.finished_at IS NULL AND NOT t.limited""",
    "a worker runs no more than its slots": """
        SELECT count(*) FROM worker_heartbeats w
         WHERE w.slots < (SELECT sum(t.slots) FROM tasks t
                           WHERE t.worker_id = w.worker_id AND t.finished_at IS NULL AND t.status = 'RUNNING')""",
    "a worker owns nothing that needs what it does not have": """
        SELECT count(*) FROM tasks t
         WHERE t.worker_id IS NOT NULL AND t.finished_at IS NULL AND t.needs_id IS NOT NULL
           AND NOT EXISTS (SELECT FROM met_needs m WHERE m.worker_id = t.worker_id AND m.needs_id = t.needs_id)
           AND EXISTS (SELECT FROM worker_heartbeats w WHERE w.worker_id = t.worker_id)""",
    "what a task needs is known": """
        SELECT count(*) FROM tasks t
         WHERE t.needs_id IS NOT NULL AND NOT EXISTS (SELECT FROM task_needs n WHERE n.id = t.needs_id)""",
    "a task that takes several slots needs a worker that has them": """
        SELECT count(*) FROM tasks t
         WHERE (t.required_labels IS NOT NULL OR t.slots > 1) AND (t.slots > 1 OR t.needs_id IS NOT NULL)
           AND NOT EXISTS (SELECT FROM task_needs n WHERE n.id = t.needs_id AND n.slots = t.slots)""",
    "a running attempt has no history row yet": """
        SELECT count(*) FROM tasks t JOIN task_executions x ON x.task_id = t.id AND x.attempt = t.attempt
         WHERE t.worker_id IS NOT NULL AND t.finished_at IS NULL AND t.status = 'RUNNING'""",
    "every ended attempt has one history row": """
        SELECT count(*) FROM (
          SELECT t.id FROM tasks t
            LEFT JOIN task_executions x ON x.task_id = t.id
           WHERE t.id IN (SELECT id FROM tasks WHERE finished_at > now() - interval '1 hour'
                           ORDER BY finished_at DESC LIMIT 10000)
           GROUP BY t.id, t.attempt
          HAVING count(x.id) <> t.attempt OR max(x.attempt) IS DISTINCT FROM nullif(t.attempt, 0)) AS gaps""",
    "history belongs to a task": """
        SELECT count(*) FROM (SELECT task_id FROM task_executions ORDER BY id DESC LIMIT 10000) AS x
         WHERE NOT EXISTS (SELECT FROM tasks t WHERE t.id = x.task_id)""",
    "a cancelled task does not run again": """
        SELECT count(*) FROM tasks
         WHERE worker_id IS NULL AND finished_at IS NULL AND cancel_requested_at IS NOT NULL""",
    "a slot of a schedule has one task": """
        SELECT count(*) FROM (
          SELECT 1 FROM (SELECT schedule_id, scheduled_for FROM tasks WHERE schedule_id IS NOT NULL
                          ORDER BY schedule_id, id DESC LIMIT 100000) AS made
           GROUP BY schedule_id, scheduled_for HAVING count(*) > 1) AS doubled""",
    "a parked task waits for a held key": """
        SELECT count(*) FROM tasks t
         WHERE t.concurrency_key IS NOT NULL AND t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 1
           AND NOT EXISTS (SELECT FROM key_buckets b
                            WHERE b.queue = t.queue AND b.key = t.concurrency_key AND b.opens_at IS NOT NULL)
           AND NOT EXISTS (SELECT FROM queue_keys k WHERE k.queue = t.queue AND k.key = t.concurrency_key AND k.paused)
           AND NOT EXISTS (SELECT FROM tasks h
                            WHERE h.queue = t.queue AND h.concurrency_key = t.concurrency_key AND h.finished_at IS NULL
                              AND h.concurrency_key IS NOT NULL
                              AND (h.worker_id IS NOT NULL OR h.worker_id IS NULL AND h.gate IN (0, 6)))""",
    "a task that waits for a token of its key will be looked at": """
        SELECT count(*) FROM tasks t
         WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate > 1 AND t.gate = 4
           AND NOT EXISTS (SELECT FROM key_buckets b
                            WHERE b.queue = t.queue AND b.key = t.concurrency_key AND b.opens_at IS NOT NULL)
           AND NOT EXISTS (SELECT FROM queue_keys k WHERE k.queue = t.queue AND k.key = t.concurrency_key AND k.paused)
           AND NOT EXISTS (SELECT FROM tasks h
                            WHERE h.queue = t.queue AND h.concurrency_key = t.concurrency_key AND h.finished_at IS NULL
                              AND h.concurrency_key IS NOT NULL
                              AND (h.worker_id IS NOT NULL OR h.worker_id IS NULL AND h.gate IN (0, 6)))""",
    "what another task waits for is there, and is marked": """
        SELECT count(*) FROM (SELECT parent_id FROM task_edges WHERE outcome IS NULL LIMIT 10000) AS e
         WHERE NOT EXISTS (SELECT FROM tasks p WHERE p.id = e.parent_id AND p.has_dependents)
           AND NOT EXISTS (SELECT FROM batches b WHERE b.id = e.parent_id AND b.has_dependents)""",
    "an end that is to be told is marked": """
        SELECT count(*) FROM (SELECT has_dependents, notifies FROM tasks ORDER BY id DESC LIMIT 10000) AS t
         WHERE t.notifies AND NOT t.has_dependents""",
    "a batch that is done has nothing open": """
        SELECT (SELECT count(*) FROM tasks t JOIN batches b ON b.id = t.batch_id
                 WHERE t.batch_id IS NOT NULL AND t.finished_at IS NULL AND b.finished_at IS NOT NULL)
             + (SELECT count(*) FROM batches i JOIN batches o ON o.id = i.parent_id
                 WHERE i.finished_at IS NULL AND o.finished_at IS NOT NULL)""",
    "a batch that runs will be looked at": """
        SELECT count(*) FROM batches b
         WHERE b.finished_at IS NULL AND b.status = 'RUNNING' AND NOT b.look
           AND NOT EXISTS (SELECT FROM tasks t WHERE t.batch_id = b.id AND t.finished_at IS NULL AND t.has_dependents)
           AND NOT EXISTS (SELECT FROM tasks t
                            WHERE t.batch_id = b.id AND t.finished_at IS NOT NULL AND t.has_dependents)
           AND NOT EXISTS (SELECT FROM batches i
                            WHERE i.parent_id = b.id AND (i.finished_at IS NULL OR i.has_dependents))""",
    "a batch that has failed fast stops, or will be looked at": """
        SELECT count(*) FROM batches b
         WHERE b.finished_at IS NULL AND b.fail_fast IS NOT NULL AND NOT b.fail_fast_is_percent AND b.completion = 0
           AND NOT b.stopping
           AND (SELECT count(*) FROM tasks t
                 WHERE t.batch_id = b.id AND t.finished_at IS NOT NULL AND t.unsuccessful AND t.status = 'FAILED')
               >= b.fail_fast
           AND NOT EXISTS (SELECT FROM tasks t
                            WHERE t.batch_id = b.id AND t.finished_at IS NOT NULL AND t.has_dependents)""",
    "the batch of an open task is there": """
        SELECT count(*) FROM tasks t
         WHERE t.batch_id IS NOT NULL AND t.finished_at IS NULL
           AND NOT EXISTS (SELECT FROM batches b WHERE b.id = t.batch_id)""",
    "what is given to a worker was approved, if it has to be": """
        SELECT count(*) FROM tasks t
         WHERE t.worker_id IS NOT NULL AND t.finished_at IS NULL AND t.approval IS NOT NULL
           AND coalesce((SELECT e.action FROM audit_events e
                 WHERE e.task_id = t.id AND e.action IN ('task.approved', 'task.approval_timed_out', 'task.retried')
                 ORDER BY e.id DESC LIMIT 1), '') NOT IN ('task.approved', 'task.approval_timed_out')""",
    "nothing that a freeze covers is given to a worker, or has started since": """
        SELECT (SELECT count(*) FROM tasks t
                 WHERE t.worker_id IS NOT NULL AND t.finished_at IS NULL AND t.status = 'SCHEDULED'
                   AND is_frozen(t.queue, t.type, t.target))
             + (SELECT count(*) FROM tasks t
                 WHERE t.worker_id IS NOT NULL AND t.finished_at IS NULL AND t.status = 'RUNNING'
                   AND EXISTS (SELECT FROM open_freezes o JOIN freezes f ON f.id = o.id
                                WHERE t.started_at > f.created_at
                                  AND (t.queue = ANY(f.queues) OR t.type = ANY(f.types)
                                       OR t.target = ANY(f.targets))))""",
    "a queue is frozen as its freezes say": """
        SELECT (SELECT count(*) FROM stopped_queues s JOIN queues q ON q.name = s.name
                 WHERE q.frozen AND (q.frozen_until IS NULL OR q.frozen_until > now())
                   AND NOT EXISTS (SELECT FROM open_freezes f WHERE q.name = ANY(f.queues)))
             + (SELECT count(*) FROM open_freezes f CROSS JOIN unnest(f.queues) AS n(name)
                 WHERE NOT EXISTS (SELECT FROM queues q
                                    WHERE q.name = n.name AND q.frozen
                                      AND (q.frozen_until IS NULL OR q.frozen_until >= f.until)))""",
    "a closed gate has a cause": """
        SELECT count(*) FROM tasks t
         WHERE worker_id IS NULL AND finished_at IS NULL AND gate > 1 AND NOT (gate = 5 AND target IS NOT NULL)
           AND NOT (gate = 2 AND EXISTS (
                      SELECT FROM task_edges e
                       WHERE e.child_id = t.id AND e.outcome IS NULL
                         AND (EXISTS (SELECT FROM tasks p
                                       WHERE p.id = e.parent_id AND (p.finished_at IS NULL OR p.has_dependents))
                              OR EXISTS (SELECT FROM batches b
                                          WHERE b.id = e.parent_id AND (b.finished_at IS NULL OR b.has_dependents)))))
           AND NOT (gate = 3 AND approval IS NOT NULL AND approval_asked_at IS NOT NULL)
           AND NOT (gate = 4 AND concurrency_key IS NOT NULL)
           AND NOT (gate = 7 AND EXISTS (SELECT FROM freezes f
                                          WHERE f.ended_at IS NULL
                                            AND (t.type = ANY(f.types) OR t.target = ANY(f.targets))))
           AND NOT (gate = 6 AND tenant IS NOT NULL AND crash_count = 0
                    AND EXISTS (SELECT FROM queues q WHERE q.name = t.queue AND q.has_turns))""",
}


def violations(session: Session) -> dict[str, int]:
    """How many rows break each promise, for the promises that are broken. Raises `DatabaseAway`."""
    counts = {name: session.fetch(query)[0][0] for name, query in QUERIES.items()}
    return {name: count for name, count in counts.items() if count}
