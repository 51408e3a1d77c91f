"""Tables of queues and of the pass, with the row of the pass, and the view that says which queues are paused."""

import django.contrib.postgres.fields
import django.db.models.functions.datetime
from django.db import migrations, models

PAUSED_QUEUES = """
-- What "paused" means, for every statement: the planner takes the view apart, so it costs nothing. In Python it is
-- `Queue.is_paused`.
CREATE VIEW paused_queues AS
SELECT name, paused_until, pause_reason
  FROM queues
 WHERE paused_at IS NOT NULL AND (paused_until IS NULL OR paused_until > now());
"""

FREEZES = """
-- The freezes that hold now, for every statement that asks. In Python: `Freeze.is_open`.
CREATE VIEW open_freezes AS
SELECT id, queues, targets, types, until
  FROM freezes
 WHERE ended_at IS NULL AND thawed_at IS NULL AND (until IS NULL OR until > now());

-- Whether one of them holds the tasks of a type, or those that call a target: of whatever queue.
CREATE FUNCTION is_frozen(of_type text, of_target text) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT FROM open_freezes WHERE of_type = ANY(types) OR of_target = ANY(targets))
$$;

-- The same, or holds its queue.
CREATE FUNCTION is_frozen(of_queue text, of_type text, of_target text) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT FROM open_freezes
                  WHERE of_queue = ANY(queues) OR of_type = ANY(types) OR of_target = ANY(targets))
$$;

-- The queues of which nothing starts: paused, frozen or both, and until when; NULL: until somebody says otherwise. That a
-- queue is frozen stands in its own row, which is read anyway, so a freeze costs no pass anything.
CREATE VIEW stopped_queues AS
SELECT name,
       CASE WHEN paused_at IS NOT NULL AND paused_until IS NULL OR frozen AND frozen_until IS NULL THEN NULL
            ELSE greatest(paused_until, frozen_until) END AS stopped_until
  FROM queues
 WHERE paused_at IS NOT NULL AND (paused_until IS NULL OR paused_until > now())
    OR frozen AND (frozen_until IS NULL OR frozen_until > now());
"""

LIMITED_QUEUES = """
-- The queues that have a limit, for statements that count against it.
CREATE VIEW limited_queues AS SELECT name, max_concurrency FROM queues WHERE max_concurrency IS NOT NULL;

-- Whether fewer tasks of a queue than its limit are assigned or running: for surveys, which count without a lock. In PL/pgSQL, whose plan
-- is kept. Index: tasks_limited.
CREATE FUNCTION queue_has_room(of_queue text, most integer) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT count(*) < most
            FROM (SELECT FROM tasks t
                   WHERE t.limited AND t.queue = of_queue AND t.worker_id IS NOT NULL AND t.finished_at IS NULL
                   LIMIT most) AS held);
END $$;
"""

BOUNDED_QUEUES = """
-- The queues of which no more than so many tasks may wait, or no more of each concurrency key: for whoever creates tasks.
CREATE VIEW bounded_queues AS
SELECT name, max_waiting, key_max_waiting FROM queues WHERE max_waiting IS NOT NULL OR key_max_waiting IS NOT NULL;

-- Whether a queue is none of these; NULL: the default one. In PL/pgSQL, whose plan is kept: each INSERT of one task asks, and planning a look into the
-- view with it would take longer than the look.
CREATE FUNCTION is_unbounded(of_queue text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN NOT EXISTS (SELECT FROM bounded_queues WHERE name = coalesce(of_queue, 'default'));
END $$;
"""

RATES = """
-- How long so many tokens of a rate take to come, rounded up. In Python `flow_app.rates.Rate.span`.
CREATE FUNCTION rate_span(tokens bigint, most bigint, period bigint) RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT interval '1 microsecond' * ((tokens * period * 1000000 + most - 1) / most)
$$;

-- How many tokens are there. In Python `flow_app.rates.Bucket.tokens`.
CREATE FUNCTION rate_tokens(full_at timestamptz, at timestamptz, most bigint, period bigint, burst bigint) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT greatest(0, floor(((burst + 1) * period * 1000000 - greatest(0, extract(epoch FROM full_at - at)) * 1000000 * most)
                           / (period * 1000000)))::int
$$;

-- What a bucket is now, by its row: when it is full, and what was given to workers and has not started. Those that have
-- started since the last charge count from then on: all of them from the last one's start, which is no less than each from
-- its own. Those that went back unstarted do not count. The others (``task_ids``) have tokens that are not taken yet and
-- nobody else may take, so that starts never bunch, however late they come. ``tokens`` is how many more may be given;
-- ``next_at`` is when there are some, if there are none now, but not at once when the bucket can wait a little.
-- A bucket that is missing reads as an empty one. The planner takes the function apart, as it does a view.
CREATE FUNCTION bucket_now(row_full_at timestamptz, row_task_ids uuid[], row_attempts int[], most int, period int, burst int)
RETURNS TABLE (full_at timestamptz, task_ids uuid[], attempts int[], tokens int, next_at timestamptz)
LANGUAGE sql STABLE AS $$
SELECT f.full_at, u.task_ids, u.attempts, c.tokens,
       CASE WHEN c.tokens = 0
            THEN greatest(greatest(f.full_at, now()) + rate_span(cardinality(u.task_ids), most, period) - c.reach,
                          now() + least(c.reach / 4, interval '20 milliseconds')) END
  FROM (
    SELECT coalesce(array_agg(g.id) FILTER (WHERE t.waits), '{}') AS task_ids,
           coalesce(array_agg(g.attempt) FILTER (WHERE t.waits), '{}') AS attempts,
           count(*) FILTER (WHERE t.began) AS began,
           max(t.started_at) FILTER (WHERE t.began) AS last_began
      FROM unnest(row_task_ids, row_attempts) AS g(id, attempt)
      CROSS JOIN LATERAL (
        -- One row in any case: a task that is gone has run.
        SELECT coalesce(bool_or(status = 'SCHEDULED' AND attempt = g.attempt), false) AS waits,
               coalesce(bool_or(attempt > g.attempt), true) AS began,
               coalesce(max(started_at), now()) AS started_at
          FROM tasks WHERE id = g.id) AS t) AS u
  CROSS JOIN LATERAL (
    SELECT least(CASE WHEN u.began > 0
                      THEN greatest(row_full_at, u.last_began) + rate_span(u.began, most, period)
                      ELSE row_full_at END,
                 now() + rate_span(burst + 1, most, period)) AS full_at) AS f
  CROSS JOIN LATERAL (
    SELECT greatest(0, rate_tokens(f.full_at, now(), most, period, burst) - cardinality(u.task_ids)) AS tokens,
           interval '1 microsecond' * (burst::bigint * period * 1000000 / most) AS reach) AS c
$$;

-- The rates of queues, with their buckets as they are now: of kind ``queue`` for good, of kind ``thaw`` until what was due
-- when the queue was resumed has started.
CREATE VIEW rated_queues AS
SELECT q.kind, q.name, q.rate_limit, q.rate_period, q.rate_burst, b.id AS bucket_id, n.full_at, n.task_ids, n.attempts, n.tokens,
       n.next_at
  FROM (SELECT r.kind, o.name, r.rate_limit, r.rate_period, r.rate_burst
          FROM queues o
          CROSS JOIN LATERAL (VALUES ('queue', o.rate_limit, o.rate_period, o.rate_burst),
                                     ('thaw', o.thaw_limit, o.thaw_period, o.thaw_burst))
                       AS r(kind, rate_limit, rate_period, rate_burst)
         WHERE (o.rate_limit IS NOT NULL OR o.thaw_limit IS NOT NULL) AND r.rate_limit IS NOT NULL) AS q
  LEFT JOIN buckets b ON b.kind = q.kind AND b.name = q.name
  CROSS JOIN LATERAL bucket_now(b.full_at, b.task_ids, b.attempts, q.rate_limit, q.rate_period, q.rate_burst) AS n;

-- The same of a concurrency key, by the rate that its queue has for each key; no row when it has none, or the key is one by
-- which a schedule keeps its tasks from overlapping. Keys have a bucket only while it is not full (``key_buckets``). One
-- that is missing reads as it would be had nothing been taken since the rate was set, which began with one token.
CREATE FUNCTION rated_key(of_queue text, of_key text)
RETURNS TABLE (rate_limit int, rate_period int, rate_burst int, bucket_id bigint, full_at timestamptz, task_ids uuid[],
               attempts int[], tokens int, next_at timestamptz)
LANGUAGE sql STABLE AS $$
SELECT q.key_rate_limit, q.key_rate_period, q.key_rate_burst, b.id, n.full_at, n.task_ids, n.attempts, n.tokens, n.next_at
  FROM queues q
  LEFT JOIN key_buckets b ON b.queue = q.name AND b.key = of_key
  CROSS JOIN LATERAL bucket_now(
    coalesce(b.full_at, q.key_rate_since + interval '1 microsecond'
                                           * (q.key_rate_burst::bigint * q.key_rate_period * 1000000 / q.key_rate_limit)),
    b.task_ids, b.attempts, q.key_rate_limit, q.key_rate_period, q.key_rate_burst) AS n
 WHERE q.name = of_queue AND q.key_rate_limit IS NOT NULL AND NOT starts_with(of_key, 'schedule:')
$$;

-- The same of targets.
CREATE VIEW rated_targets AS
SELECT 'target' AS kind, g.host AS name, g.rate_limit, g.rate_period, g.rate_burst, b.id AS bucket_id, n.full_at, n.task_ids,
       n.attempts, n.tokens, n.next_at
  FROM targets g
  LEFT JOIN buckets b ON b.kind = 'target' AND b.name = g.host
  CROSS JOIN LATERAL bucket_now(b.full_at, b.task_ids, b.attempts, g.rate_limit, g.rate_period, g.rate_burst) AS n
 WHERE g.rate_limit IS NOT NULL;
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('tasks_app', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='SchedulerPass',
            fields=[
                ('name', models.CharField(max_length=32, primary_key=True, serialize=False)),
            ],
            options={
                'db_table': 'scheduler_pass',
            },
        ),
        migrations.CreateModel(
            name='Queue',
            fields=[
                ('name', models.CharField(max_length=100, primary_key=True, serialize=False)),
                ('paused_at', models.DateTimeField(blank=True, null=True)),
                ('paused_until', models.DateTimeField(blank=True, null=True)),
                ('pause_reason', models.TextField(blank=True, db_default='')),
                ('paused_by', models.TextField(blank=True, db_default='')),
                ('frozen', models.BooleanField(db_default=False, default=False, help_text='A freeze holds it, or did until lately.')),
                ('frozen_until', models.DateTimeField(blank=True, null=True)),
                ('max_concurrency', models.IntegerField(blank=True, help_text='At most so many of its tasks are assigned or running; 0 closes it.', null=True)),
                ('rate_limit', models.IntegerField(blank=True, null=True)),
                ('rate_period', models.IntegerField(blank=True, null=True)),
                ('rate_burst', models.IntegerField(blank=True, null=True)),
                ('fair_by', models.TextField(blank=True, help_text='What tells the tenants apart that share it; NULL: it is not shared.', null=True)),
                ('has_turns', models.BooleanField(db_default=False, help_text='Tasks of it may wait for the turns of tenants: it is shared, or was until lately.')),
                ('thaw_limit', models.IntegerField(blank=True, null=True)),
                ('thaw_period', models.IntegerField(blank=True, null=True)),
                ('thaw_burst', models.IntegerField(blank=True, null=True)),
                ('thaw_since', models.DateTimeField(blank=True, null=True)),
                ('key_max_concurrency', models.SmallIntegerField(blank=True, help_text='At most so many tasks of one concurrency key are assigned or running; NULL: 1.', null=True)),
                ('priority_age_seconds', models.IntegerField(blank=True, help_text='Tasks that wait rise by a level in so many seconds; NULL: never.', null=True)),
                ('max_waiting', models.IntegerField(blank=True, help_text='While so many of its tasks wait, new ones are refused; NULL: never.', null=True)),
                ('key_max_waiting', models.IntegerField(blank=True, help_text='While so many tasks of one concurrency key wait, new ones of it are refused.', null=True)),
                ('key_rate_limit', models.IntegerField(blank=True, null=True)),
                ('key_rate_period', models.IntegerField(blank=True, null=True)),
                ('key_rate_burst', models.IntegerField(blank=True, null=True)),
                ('key_rate_since', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('callback', models.JSONField(blank=True, help_text='Of new tasks that say nothing of one.', null=True)),
                ('version', models.IntegerField(db_default=1)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'db_table': 'queues',
                'ordering': ['name'],
                'constraints': [models.CheckConstraint(condition=models.Q(('paused_until__isnull', True), ('paused_at__isnull', False), _connector='OR'), name='queues_until_needs_pause'), models.CheckConstraint(condition=models.Q(('max_concurrency__range', (0, 100000))), name='queues_max_concurrency'), models.CheckConstraint(condition=models.Q(models.Q(('rate_burst__isnull', True), ('rate_limit__isnull', True), ('rate_period__isnull', True)), models.Q(('rate_burst__range', (0, models.F('rate_limit'))), ('rate_limit__range', (1, 1000000)), ('rate_period__range', (1, 86400))), _connector='OR'), name='queues_rate'), models.CheckConstraint(condition=models.Q(models.Q(('thaw_burst__isnull', True), ('thaw_limit__isnull', True), ('thaw_period__isnull', True), ('thaw_since__isnull', True)), models.Q(('thaw_burst__range', (0, models.F('thaw_limit'))), ('thaw_limit__range', (1, 1000000)), ('thaw_period__range', (1, 86400)), ('thaw_since__isnull', False)), _connector='OR'), name='queues_thaw'), models.CheckConstraint(condition=models.Q(('key_max_concurrency__range', (1, 1000))), name='queues_key_max_concurrency'), models.CheckConstraint(condition=models.Q(models.Q(('key_rate_burst__isnull', True), ('key_rate_limit__isnull', True), ('key_rate_period__isnull', True)), models.Q(('key_rate_burst__range', (0, models.F('key_rate_limit'))), ('key_rate_limit__range', (1, 1000000)), ('key_rate_period__range', (1, 86400))), _connector='OR'), name='queues_key_rate')],
            },
        ),
        migrations.CreateModel(
            name='Bucket',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.TextField()),
                ('name', models.TextField()),
                ('full_at', models.DateTimeField()),
                ('task_ids', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), db_default=[], size=None)),
                ('attempts', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), db_default=[], size=None)),
            ],
            options={
                'db_table': 'buckets',
                'constraints': [models.UniqueConstraint(fields=('kind', 'name'), name='buckets_of')],
            },
        ),
        migrations.CreateModel(
            name='KeyBucket',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('queue', models.CharField(max_length=100)),
                ('key', models.TextField()),
                ('full_at', models.DateTimeField()),
                ('task_ids', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), db_default=[], size=None)),
                ('attempts', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), db_default=[], size=None)),
                ('opens_at', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'key_buckets',
                'constraints': [models.UniqueConstraint(fields=('queue', 'key'), name='key_buckets_of')],
                'indexes': [models.Index(condition=models.Q(('opens_at__isnull', False)), fields=['opens_at'], name='key_buckets_opening')],
            },
        ),
        migrations.CreateModel(
            name='QueueKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('queue', models.CharField(max_length=100)),
                ('key', models.TextField()),
                ('max_concurrency', models.SmallIntegerField(blank=True, help_text='At most so many of its tasks are assigned or running; NULL: as in the queue.', null=True)),
                ('weight', models.SmallIntegerField(db_default=1, help_text='Its share in a queue that is shared by this key.')),
                ('paused', models.BooleanField(db_default=False, help_text='Nothing of it starts.')),
                ('version', models.IntegerField(db_default=1)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'db_table': 'queue_keys',
                'ordering': ['queue', 'key'],
                'constraints': [models.UniqueConstraint(fields=('queue', 'key'), name='queue_keys_key'), models.CheckConstraint(condition=models.Q(('weight__range', (1, 1000)), models.Q(('max_concurrency__isnull', True), ('max_concurrency__range', (1, 1000)), _connector='OR')), name='queue_keys_ranges')],
            },
        ),
        migrations.CreateModel(
            name='Target',
            fields=[
                ('host', models.CharField(max_length=253, primary_key=True, serialize=False)),
                ('max_concurrency', models.IntegerField(blank=True, help_text='At most so many tasks that call it are assigned or running; 0 closes it.', null=True)),
                ('rate_limit', models.IntegerField(blank=True, null=True)),
                ('rate_period', models.IntegerField(blank=True, null=True)),
                ('rate_burst', models.IntegerField(blank=True, null=True)),
                ('respect_retry_after', models.BooleanField(db_default=True, help_text='One 429 or 503 with Retry-After: nobody calls it until then.')),
                ('backing_off_until', models.DateTimeField(blank=True, null=True)),
                ('version', models.IntegerField(db_default=1)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'db_table': 'targets',
                'ordering': ['host'],
                'constraints': [models.CheckConstraint(condition=models.Q(('max_concurrency__range', (0, 100000))), name='targets_max_concurrency'), models.CheckConstraint(condition=models.Q(models.Q(('rate_burst__isnull', True), ('rate_limit__isnull', True), ('rate_period__isnull', True)), models.Q(('rate_burst__range', (0, models.F('rate_limit'))), ('rate_limit__range', (1, 1000000)), ('rate_period__range', (1, 86400))), _connector='OR'), name='targets_rate')],
            },
        ),
        migrations.AddConstraint(
            'Queue',
            models.CheckConstraint(condition=models.Q(('fair_by__in', ['createdBy', 'fairKey'])), name='queues_fair_by'),
        ),
        migrations.AddIndex(
            'Queue',
            models.Index(models.F('name'), condition=models.Q(('has_turns', True)), name='queues_with_turns'),
        ),
        migrations.AddConstraint(
            'Queue',
            models.CheckConstraint(condition=models.Q(models.Q(('max_waiting__isnull', True), ('max_waiting__range', (0, 10000000)), _connector='OR'), models.Q(('key_max_waiting__isnull', True), ('key_max_waiting__range', (0, 10000000)), _connector='OR')), name='queues_waiting'),
        ),
        migrations.AddConstraint(
            'Queue',
            models.CheckConstraint(condition=models.Q(('priority_age_seconds__range', (1, 86400))), name='queues_age'),
        ),
        migrations.AddIndex(
            'Queue',
            models.Index(models.F('name'), condition=models.Q(('max_waiting__isnull', False), ('key_max_waiting__isnull', False), _connector='OR'), name='queues_bounded'),
        ),
        migrations.AddConstraint(
            'Queue',
            models.CheckConstraint(condition=models.Q(('frozen_until__isnull', True), ('frozen', True), _connector='OR'), name='queues_until_needs_freeze'),
        ),
        migrations.CreateModel(
            name='Freeze',
            fields=[
                ('id', models.UUIDField(primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('until', models.DateTimeField(blank=True, null=True)),
                ('thawed_at', models.DateTimeField(blank=True, help_text='Since when it holds nothing any more.', null=True)),
                ('ended_at', models.DateTimeField(blank=True, help_text='Since when nothing is left of what waited for it.', null=True)),
                ('queues', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), db_default=[], size=None)),
                ('targets', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), db_default=[], size=None)),
                ('types', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), db_default=[], size=None)),
                ('reason', models.TextField(blank=True, db_default='')),
                ('created_by', models.TextField()),
                ('thawed_by', models.TextField(blank=True, db_default='')),
                ('thaw_limit', models.IntegerField(blank=True, null=True)),
                ('thaw_period', models.IntegerField(blank=True, null=True)),
                ('thaw_burst', models.IntegerField(blank=True, null=True)),
                ('thaw_full_at', models.DateTimeField(blank=True, null=True)),
                ('version', models.IntegerField(db_default=1)),
            ],
            options={
                'db_table': 'freezes',
                'ordering': ['-id'],
                'indexes': [models.Index(condition=models.Q(('ended_at__isnull', True)), fields=['id'], name='freezes_going')],
                'constraints': [models.CheckConstraint(condition=models.Q(('queues', []), ('targets', []), ('types', []), _negated=True), name='freezes_name_something'), models.CheckConstraint(condition=models.Q(('ended_at__isnull', True), ('thawed_at__isnull', False), _connector='OR'), name='freezes_end_thawed'), models.CheckConstraint(condition=models.Q(models.Q(('thaw_burst__isnull', True), ('thaw_limit__isnull', True), ('thaw_period__isnull', True)), models.Q(('thaw_burst__range', (0, models.F('thaw_limit'))), ('thaw_limit__range', (1, 1000000)), ('thaw_period__range', (1, 86400))), _connector='OR'), name='freezes_thaw')],
            },
        ),
        migrations.CreateModel(
            name='Turn',
            fields=[
                ('queue', models.CharField(max_length=100, primary_key=True, serialize=False)),
                ('tenant', models.TextField()),
                ('used', models.IntegerField()),
            ],
            options={
                'db_table': 'queue_turns',
            },
        ),
        migrations.RunSQL("INSERT INTO scheduler_pass (name) VALUES ('assign')", migrations.RunSQL.noop),
        migrations.RunSQL(PAUSED_QUEUES, "DROP VIEW paused_queues"),
        migrations.RunSQL(
            FREEZES,
            "DROP VIEW stopped_queues; DROP FUNCTION is_frozen(text, text, text); DROP FUNCTION is_frozen(text, text); DROP VIEW open_freezes",
        ),
        migrations.RunSQL(LIMITED_QUEUES, "DROP FUNCTION queue_has_room; DROP VIEW limited_queues"),
        migrations.RunSQL(RATES, "DROP FUNCTION rated_key; DROP VIEW rated_targets; DROP VIEW rated_queues; DROP FUNCTION bucket_now; DROP FUNCTION rate_tokens;"
            " DROP FUNCTION rate_span"),
        migrations.RunSQL(BOUNDED_QUEUES, "DROP FUNCTION is_unbounded; DROP VIEW bounded_queues"),
    ]
