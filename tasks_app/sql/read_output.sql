-- The next chunks of output behind each of several cursors, at most %(limit)s of each, and how their tasks stand. One statement
-- for all who follow a task from one process. Of %(terms)s only chunks with that text are returned, as it is, or both in small
-- letters, which the database may know fewer of than Python does; '' is any.
-- A task is looked at in the same snapshot as its chunks: what an attempt has written is stored before its end is, so that nothing
-- comes behind an end that was seen. Index: the primary keys. Not the ORM: many cursors in one trip.
SELECT a.place::int AS place, t.status, t.attempt AS latest, t.finished_at IS NOT NULL AS is_final,
       o.attempt, o.seq, o.size, o.line, o.at, o.stream, o.text
  FROM unnest(%(ids)s::uuid[], %(attempts)s::int[], %(seqs)s::bigint[], %(uptos)s::int[], %(terms)s::text[])
         WITH ORDINALITY AS a(task_id, attempt, seq, upto, term, place)
  LEFT JOIN tasks t ON t.id = a.task_id
  LEFT JOIN LATERAL (
    SELECT attempt, seq, size, line, at, stream, text
      FROM task_output
     WHERE task_id = a.task_id AND (attempt, seq) > (a.attempt, a.seq) AND attempt <= a.upto
       AND (a.term = '' OR strpos(text, a.term) > 0 OR strpos(lower(text), lower(a.term)) > 0)
     ORDER BY attempt, seq
     LIMIT %(limit)s) AS o ON true
 ORDER BY a.place, o.attempt, o.seq
