-- Add failed attempts to task_failures and to their groups, and note how far executions have been read, in one trip. The caller has
-- the mark. What is there already stays: they may be read twice. Tasks that ended longer ago than %(fresh)s may be deleted meanwhile: they are
-- held, and left out when they are gone or somebody has them. With %(notes)s, the transaction that is to be waited for before they are
-- read again is this one: whoever writes an execution that this one could not see has a lower number (it locks tasks before it
-- takes the execution's id). Groups are in the order of their fingerprints. Returns how many were new. Indexes: primary keys.
WITH failed AS MATERIALIZED (
  SELECT *, at < now() - %(fresh)s::interval AS is_old
    FROM unnest(%(task_ids)s::uuid[], %(attempts)s::int[], %(ats)s::timestamptz[], %(fingerprints)s::text[], %(queues)s::text[])
      AS f(task_id, attempt, at, fingerprint, queue)
),
held AS MATERIALIZED (
  SELECT id FROM tasks WHERE id = ANY(ARRAY(SELECT task_id FROM failed WHERE is_old)) FOR KEY SHARE SKIP LOCKED
),
kept AS MATERIALIZED (
  SELECT * FROM failed WHERE NOT is_old OR task_id IN (SELECT id FROM held)
),
latest AS MATERIALIZED (
  SELECT *
    FROM unnest(%(groups)s::text[], %(types)s::text[], %(codes)s::text[], %(messages)s::text[])
      AS g(fingerprint, type, code, message)
),
grouped AS (
  INSERT INTO failure_groups AS g (fingerprint, type, code, message, first_at, last_at)
  SELECT l.fingerprint, l.type, l.code, l.message, k.first_at, k.last_at
    FROM latest l
    JOIN (SELECT fingerprint, min(at) AS first_at, max(at) AS last_at FROM kept GROUP BY fingerprint) AS k
      ON k.fingerprint = l.fingerprint
   ORDER BY l.fingerprint
  ON CONFLICT (fingerprint) DO UPDATE
     SET first_at = least(g.first_at, excluded.first_at), last_at = greatest(g.last_at, excluded.last_at),
         message = CASE WHEN excluded.last_at >= g.last_at THEN excluded.message ELSE g.message END
),
added AS (
  INSERT INTO task_failures (task_id, attempt, at, fingerprint, queue)
  SELECT task_id, attempt, at, fingerprint, queue FROM kept
  ON CONFLICT (task_id, attempt) DO NOTHING
  RETURNING task_id
),
noted AS (
  UPDATE failure_marks
     SET read_id = %(read_id)s, sure_id = %(sure_id)s, noted_id = %(noted_id)s,
         noted_xid = CASE WHEN %(notes)s THEN pg_current_xact_id()::text::bigint ELSE noted_xid END
)
SELECT count(*)::int AS added FROM added
