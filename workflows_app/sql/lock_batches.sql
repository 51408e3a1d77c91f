-- Lock those of the batches %(ids)s that nobody else holds, and return them for the statements behind it, whose snapshots then
-- have all that whoever held them before has stored. Whoever adds to a batch holds it, and so does who opens an ended task of it
-- again. Index: the primary key.
SELECT id
  FROM batches
 WHERE id = ANY(%(ids)s::uuid[])
 ORDER BY id
   FOR NO KEY UPDATE SKIP LOCKED
