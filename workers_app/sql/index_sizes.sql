-- Size of each index of a hot table, and how many entries its last vacuum counted (-1: not yet).
SELECT c.relname AS name, pg_relation_size(c.oid) AS size, c.reltuples::float8 AS entries
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_am a ON a.oid = c.relam AND a.amname = 'btree'
 WHERE i.indrelid = ANY(ARRAY(SELECT to_regclass(name) FROM unnest(%(tables)s::text[]) AS name))
 ORDER BY 2 DESC
