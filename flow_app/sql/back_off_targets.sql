-- Let nobody call the hosts %(hosts)s for as many more seconds as %(seconds)s say in the same places, unless they are backing
-- off for longer already. Only those that have rules, and respect Retry-After. Returns which.
UPDATE targets g
   SET backing_off_until = now() + make_interval(secs => asked.seconds), version = g.version + 1
  FROM unnest(%(hosts)s::text[], %(seconds)s::float8[]) AS asked(host, seconds)
 WHERE g.host = asked.host AND g.respect_retry_after
   AND (g.backing_off_until IS NULL OR g.backing_off_until < now() + make_interval(secs => asked.seconds))
RETURNING g.host
