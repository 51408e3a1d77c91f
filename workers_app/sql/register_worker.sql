-- A new incarnation; returns the timeline it belongs to. The id is fresh, so a conflict is a resend of this very statement
-- whose reply was lost. It is a beat: the worker counts its lease from the resend, and an observer may have watched the
-- row since the first.
INSERT INTO worker_heartbeats (worker_id, host, pid, name, labels, queues, slots, version)
VALUES (%(worker_id)s, %(host)s, %(pid)s, %(name)s, %(labels)s::jsonb, %(queues)s::text[], %(slots)s, %(version)s)
ON CONFLICT (worker_id) DO UPDATE SET beat = worker_heartbeats.beat + 1, last_heartbeat_at = now()
RETURNING database_timeline()
