-- Which of the needs %(needs)s each live worker meets, and with %(suspects)s also which of those that suspects have; a row for
-- each worker that meets any. Runs behind count_room.sql, which has locked the workers. Index: tasks_suspects.
WITH wanted AS MATERIALIZED (
  SELECT n.needs_id FROM unnest(%(needs)s::int[]) AS n(needs_id)
  UNION
  (SELECT t.needs_id
     FROM tasks t
    WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate = 0 AND t.crash_count > 0
      AND t.needs_id IS NOT NULL AND %(suspects)s
    LIMIT 1000)
)
SELECT m.worker_id, array_agg(m.needs_id) AS needs
  FROM met_needs m
 WHERE m.state = 'ACTIVE' AND m.needs_id IN (SELECT needs_id FROM wanted)
 GROUP BY m.worker_id
