-- Take the right to read on in the executions, until the caller's transaction ends: nothing, when somebody else has it or
-- there is nothing to read, and then nothing is locked. ``highest``: the last execution that can be seen. ``is_settled``: every transaction
-- has ended that had begun to write before the note was made; a note from another cluster, whose numbers are ahead of this one, is too.
-- Index: the primary keys of failure_marks and task_executions. Not the ORM: schedulers run it.
-- ``next_read`` and ``next_sure``: the first execution behind each, so that a history whose beginning was deleted long ago is not walked through.
SELECT read_id, sure_id, noted_id, highest, is_settled,
       coalesce((SELECT min(id) FROM task_executions WHERE id > read_id), highest) AS next_read,
       coalesce((SELECT min(id) FROM task_executions WHERE id > sure_id), highest) AS next_sure
  FROM failure_marks
  CROSS JOIN LATERAL (
    SELECT coalesce((SELECT max(id) FROM task_executions), 0) AS highest,
           noted_xid <= pg_snapshot_xmin(pg_current_snapshot())::text::bigint
             OR noted_xid > pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS is_settled) AS now
 WHERE read_id <> highest OR (sure_id < noted_id AND is_settled) OR (sure_id = noted_id AND noted_id <> read_id)
   FOR NO KEY UPDATE OF failure_marks SKIP LOCKED
