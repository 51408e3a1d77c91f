-- Which of the needs %(digests)s are there and were noted as used a short while ago: only those are certain to stay until
-- the caller commits. Locks nothing, so that many may store tasks of the same needs at once. Index: task_needs_digest_key.
SELECT digest, id
  FROM task_needs
 WHERE digest = ANY(%(digests)s::text[]) AND used_at > now() - interval '10 minutes'
