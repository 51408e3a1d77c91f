"""Tables of tasks, and what Django's model state cannot say of them: storage, the concurrency-key trigger, an index of ->>."""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions.datetime
import django.db.models.functions.text
import django.db.models.lookups
import tasks_app.states
from django.db import migrations, models


STORAGE = """
-- Room on each page for the starts of nearly all rows on it (HOT), and vacuum early: dead versions at the head of the
-- due index cost every pass. Ended tasks are never updated, so the space comes back when they are deleted.
ALTER TABLE tasks SET (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
                       autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.05,
                       autovacuum_vacuum_cost_delay = 0);
ALTER TABLE task_executions SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1);
-- What lies between head and tail goes soon after it came.
ALTER TABLE task_output SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1,
                             toast.autovacuum_vacuum_scale_factor = 0.05);
"""

AGED = """
-- When a task of priority 0 would have been due that comes at the same place, where priorities age by a level in so many
-- seconds: ``ORDER BY aged_at(run_at, priority, age), run_at, id``. In Python `flow_app.ageing.aged_at`.
-- STABLE, as what it is made of, so that the planner takes it apart.
CREATE FUNCTION aged_at(run_at timestamptz, priority int, age int) RETURNS timestamptz LANGUAGE sql STABLE AS $$
  SELECT run_at - interval '1 second' * (priority * age)
$$;

-- The first tasks of a concurrency key in that order which are due and have one of these gates: from the first of each
-- priority that the key has, and these are hopped to, so that it costs as much as there are priorities. Index: tasks_key_waiting.
CREATE FUNCTION aged_firsts(of_queue text, of_key text, age int, gates int[], most bigint) RETURNS SETOF uuid
LANGUAGE sql STABLE AS $$
  WITH RECURSIVE lines(level) AS (
    SELECT max(priority) FROM tasks
     WHERE queue = of_queue AND concurrency_key = of_key AND concurrency_key IS NOT NULL
       AND worker_id IS NULL AND finished_at IS NULL
    UNION ALL
    SELECT (SELECT max(priority) FROM tasks
             WHERE queue = of_queue AND concurrency_key = of_key AND concurrency_key IS NOT NULL
               AND worker_id IS NULL AND finished_at IS NULL AND priority < lines.level)
      FROM lines WHERE lines.level IS NOT NULL
  )
  SELECT t.id
    FROM lines
    CROSS JOIN LATERAL (
      SELECT id, run_at, priority FROM tasks
       WHERE queue = of_queue AND concurrency_key = of_key AND concurrency_key IS NOT NULL AND priority = lines.level
         AND worker_id IS NULL AND finished_at IS NULL AND gate = ANY(gates)
         AND run_at <= now() AND (expires_at IS NULL OR expires_at > now())
       ORDER BY run_at, id
       LIMIT most) AS t
   ORDER BY aged_at(t.run_at, t.priority, age), t.run_at, t.id
   LIMIT most
$$;
"""

RELEASE_KEY = """
-- When the holder, or the visible candidate, of a concurrency key makes way, the next parked task becomes visible to the
-- assignment pass. A trigger, because eight statements release keys and a ninth would forget to. SKIP LOCKED: whoever
-- holds the parked row's lock is about to cancel or edit it; release_idle_keys.sql finds what a rollback left behind.
-- What waits for a token of the key comes in its turn: there may be one, and if not the pass parks it again. A candidate that
-- is parked for want of a token lets no other one go first.
CREATE FUNCTION tasks_release_key() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  age int;
BEGIN
  -- Of most keys nothing waits: then this look is all that an end costs.
  IF NOT EXISTS (SELECT FROM tasks
                  WHERE queue = OLD.queue AND concurrency_key = OLD.concurrency_key
                    AND worker_id IS NULL AND finished_at IS NULL AND gate IN (1, 4)) THEN
    RETURN NULL;
  END IF;
  SELECT priority_age_seconds INTO age FROM queues WHERE name = OLD.queue;
  IF age IS NOT NULL THEN
    UPDATE tasks
       SET gate = 0
     WHERE id = (SELECT t.id
                   FROM aged_firsts(OLD.queue, OLD.concurrency_key, age, '{1,4}', 5) AS f(id) JOIN tasks t ON t.id = f.id
                  WHERE t.worker_id IS NULL AND t.finished_at IS NULL AND t.gate IN (1, 4)
                  ORDER BY aged_at(t.run_at, t.priority, age), t.run_at, t.id
                  LIMIT 1
                  FOR NO KEY UPDATE OF t SKIP LOCKED);
    RETURN NULL;
  END IF;
  UPDATE tasks
     SET gate = 0
   WHERE id = (SELECT id FROM tasks
                WHERE queue = OLD.queue AND concurrency_key = OLD.concurrency_key
                  AND worker_id IS NULL AND finished_at IS NULL AND gate IN (1, 4)
                ORDER BY priority DESC, run_at, id
                LIMIT 1
                FOR NO KEY UPDATE SKIP LOCKED);
  RETURN NULL;
END $$;
CREATE TRIGGER tasks_release_key AFTER UPDATE ON tasks FOR EACH ROW
  WHEN (OLD.concurrency_key IS NOT NULL AND OLD.finished_at IS NULL AND OLD.gate IN (0, 6)
        AND (NEW.finished_at IS NOT NULL OR NEW.queue <> OLD.queue OR NEW.run_at > OLD.run_at OR NEW.gate IN (2, 3, 5, 7)
             OR OLD.worker_id IS NOT NULL AND NEW.worker_id IS NULL))
  EXECUTE FUNCTION tasks_release_key();
"""

WAITING_TASKS = """
-- How many tasks of a queue no worker has, whatever they wait for, or of one of its concurrency keys; counting stops at
-- ``most``. As a function, because whoever creates a task asks in the middle of a transaction, and no plan may read all tasks,
-- whatever the planner believes of them: each part has the predicate of one index (`models.WAITING_PARTS`), in the order
-- in which they are likely to be full. Of labelled tasks it looks at each of the needs there are, of suspects at all.
CREATE FUNCTION waiting_tasks(of_queue text, of_key text, most bigint) RETURNS bigint LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
BEGIN
  IF of_key IS NOT NULL THEN
    RETURN (SELECT count(*)
              FROM (SELECT 1 FROM tasks
                     WHERE queue = of_queue AND concurrency_key = of_key AND concurrency_key IS NOT NULL
                       AND worker_id IS NULL AND finished_at IS NULL
                     LIMIT most) AS waiting);
  END IF;
  RETURN (SELECT count(*)
            FROM (SELECT 1 FROM tasks
                   WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count = 0 AND needs_id IS NULL
                     AND queue = of_queue
                  UNION ALL
                  SELECT 1 FROM tasks
                   WHERE gate > 1 AND worker_id IS NULL AND finished_at IS NULL AND queue = of_queue
                  UNION ALL
                  SELECT 1 FROM tasks
                   WHERE worker_id IS NULL AND finished_at IS NULL AND concurrency_key IS NOT NULL AND gate = 1
                     AND queue = of_queue
                  UNION ALL
                  SELECT 1 FROM tasks
                   WHERE worker_id IS NULL AND finished_at IS NULL AND gate = 0 AND crash_count > 0 AND queue = of_queue
                  UNION ALL
                  SELECT 1
                    FROM task_needs n
                    CROSS JOIN LATERAL (
                      SELECT 1 FROM tasks
                       WHERE needs_id IS NOT NULL AND worker_id IS NULL AND finished_at IS NULL AND gate = 0
                         AND crash_count = 0 AND needs_id = n.id AND queue = of_queue) AS labelled
                  LIMIT most) AS waiting);
END $$;
"""

# What the labels of a worker are tested with: a JSON path made of task_needs.labels.
CONDITION = "ALTER TABLE task_needs ADD COLUMN condition jsonpath NOT NULL"

# The few attempts whose result came too late, by the time it came; read by count_new_executions.sql. It costs an insert
# one test of a NULL, and holds nothing while nothing is late.
LATE = "CREATE INDEX executions_late ON task_executions ((late ->> 'at')) WHERE late IS NOT NULL"


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Task',
            fields=[
                ('id', models.UUIDField(help_text='UUIDv7: sorts by creation time.', primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(help_text='The instant in the id.')),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('schedule_at', models.DateTimeField(help_text='When the task was asked to run.')),
                ('run_at', models.DateTimeField(help_text='When it is due next: scheduleAt, or the end of a backoff.')),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('assigned_at', models.DateTimeField(blank=True, null=True)),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('cancel_requested_at', models.DateTimeField(blank=True, null=True)),
                ('approval_asked_at', models.DateTimeField(blank=True, help_text='Since when its approval is waited for.', null=True)),
                ('approval_ends_at', models.DateTimeField(blank=True, help_text='Until when; NULL: without an end.', null=True)),
                ('worker_id', models.UUIDField(blank=True, null=True)),
                ('batch_id', models.UUIDField(blank=True, help_text='The batch it belongs to.', null=True)),
                ('version', models.IntegerField(db_default=1, help_text='Grows by one with every change; the ETag.')),
                ('attempt', models.IntegerField(db_default=0, help_text='The fence: grows with every start, never goes back.')),
                ('max_retries', models.IntegerField()),
                ('retry_count', models.IntegerField(db_default=0, help_text='Retries granted after failures.')),
                ('crash_count', models.IntegerField(db_default=0, help_text='Attempts lost with their worker.')),
                ('timeout_ms', models.IntegerField()),
                ('priority', models.SmallIntegerField(db_default=0)),
                ('gate', models.SmallIntegerField(choices=[(tasks_app.states.Gate['OPEN'], 'OPEN'), (tasks_app.states.Gate['KEY'], 'KEY'), (tasks_app.states.Gate['DEPENDENCY'], 'DEPENDENCY'), (tasks_app.states.Gate['APPROVAL'], 'APPROVAL'), (tasks_app.states.Gate['RATE'], 'RATE'), (tasks_app.states.Gate['TARGET'], 'TARGET'), (tasks_app.states.Gate['TURN'], 'TURN'), (tasks_app.states.Gate['FREEZE'], 'FREEZE')], db_default=tasks_app.states.Gate['OPEN'], help_text='What it waits for besides time and a worker; out of the due index until the gate is open.')),
                ('slots', models.SmallIntegerField(db_default=1, help_text='How many slots of its worker it takes.')),
                ('key_slot', models.SmallIntegerField(blank=True, help_text='The slot of its key that it has, or had.', null=True)),
                ('limited', models.BooleanField(db_default=False, help_text='Counts against the limit of its queue or target, which had one when it was assigned.')),
                ('unsuccessful', models.BooleanField(db_default=False, help_text='FAILED or CANCELLED, for an index: with status in it, every start would write to all indexes.')),
                ('has_dependents', models.BooleanField(db_default=False, help_text='Others wait for its end, or did: somebody has to look when it has ended.')),
                ('notifies', models.BooleanField(db_default=False, help_text='Its end is yet to be told to callbacks; then it is marked as having dependents.')),
                ('task_token', models.BooleanField(db_default=False, help_text='Each of its attempts gets a token.')),
                ('needs_id', models.IntegerField(blank=True, help_text='What it needs of its worker, a row of task_needs; NULL: nothing.', null=True)),
                ('type', models.TextField()),
                ('status', models.TextField(choices=[(tasks_app.states.TaskStatus['PENDING'], tasks_app.states.TaskStatus['PENDING']), (tasks_app.states.TaskStatus['SCHEDULED'], tasks_app.states.TaskStatus['SCHEDULED']), (tasks_app.states.TaskStatus['RUNNING'], tasks_app.states.TaskStatus['RUNNING']), (tasks_app.states.TaskStatus['SUCCESS'], tasks_app.states.TaskStatus['SUCCESS']), (tasks_app.states.TaskStatus['FAILED'], tasks_app.states.TaskStatus['FAILED']), (tasks_app.states.TaskStatus['CANCELLED'], tasks_app.states.TaskStatus['CANCELLED'])], db_default=tasks_app.states.TaskStatus['PENDING'])),
                ('queue', models.TextField(db_default='default')),
                ('on_worker_lost', models.TextField(choices=[(tasks_app.states.OnWorkerLost['RETRY'], tasks_app.states.OnWorkerLost['RETRY']), (tasks_app.states.OnWorkerLost['FAIL'], tasks_app.states.OnWorkerLost['FAIL'])], db_default=tasks_app.states.OnWorkerLost['RETRY'])),
                ('correlation_id', models.TextField(blank=True, help_text='NULL: none was sent. Then it is the id.', null=True)),
                ('created_by', models.TextField()),
                ('concurrency_key', models.TextField(blank=True, null=True)),
                ('unique_key', models.TextField(blank=True, null=True)),
                ('target', models.TextField(blank=True, help_text='The host it calls, as its payload names it.', null=True)),
                ('fair_key', models.TextField(blank=True, null=True)),
                ('tenant', models.TextField(blank=True, help_text='Whose share of its queue it draws on, if sorted in.', null=True)),
                ('idempotency_key', models.TextField(blank=True, null=True)),
                ('end_reason', models.TextField(blank=True, help_text="Error code of an end that no attempt's own outcome explains: EXPIRED, QUARANTINED, WORKER_LOST.", null=True)),
                ('retry', models.JSONField(blank=True, null=True)),
                ('required_labels', models.JSONField(blank=True, null=True)),
                ('callback', models.JSONField(blank=True, help_text='Who is told of its end, besides endpoints.', null=True)),
                ('approval', models.JSONField(blank=True, help_text='Who must approve it before it runs.', null=True)),
                ('payload', models.JSONField(db_default=models.Value({}, models.JSONField()))),
                ('schedule_id', models.UUIDField(blank=True, help_text='The recurring schedule that made it.', null=True)),
                ('scheduled_for', models.DateTimeField(blank=True, help_text='The slot it was made for, however late.', null=True)),
            ],
            options={
                'db_table': 'tasks',
                'ordering': ['-id'],
                'indexes': [models.Index(models.F('queue'), models.OrderBy(models.F('priority'), descending=True), models.F('run_at'), models.F('id'), condition=models.Q(('finished_at__isnull', True), ('worker_id__isnull', True), ('crash_count', 0), ('gate', tasks_app.states.Gate['OPEN']), ('needs_id__isnull', True)), name='tasks_due'), models.Index(models.F('needs_id'), models.F('queue'), models.OrderBy(models.F('priority'), descending=True), models.F('run_at'), models.F('id'), condition=models.Q(('needs_id__isnull', False), ('finished_at__isnull', True), ('worker_id__isnull', True), ('crash_count', 0), ('gate', tasks_app.states.Gate['OPEN'])), name='tasks_labelled'), models.Index(models.F('needs_id'), condition=models.Q(('required_labels__isnull', False), ('slots__gt', 1), _connector='OR'), name='tasks_needs'), models.Index(models.OrderBy(models.F('priority'), descending=True), models.F('run_at'), models.F('id'), condition=models.Q(('finished_at__isnull', True), ('worker_id__isnull', True), ('crash_count__gt', 0), ('gate', tasks_app.states.Gate['OPEN'])), name='tasks_suspects'), models.Index(models.F('worker_id'), models.F('assigned_at'), condition=models.Q(('finished_at__isnull', True), ('worker_id__isnull', False)), name='tasks_owned'), models.Index(models.F('queue'), condition=models.Q(('limited', True), ('finished_at__isnull', True), ('worker_id__isnull', False)), name='tasks_limited'), models.Index(models.F('target'), condition=models.Q(('limited', True), ('target__isnull', False), ('finished_at__isnull', True), ('worker_id__isnull', False)), name='tasks_limited_target'), models.Index(models.F('queue'), models.F('concurrency_key'), models.OrderBy(models.F('priority'), descending=True), models.F('run_at'), models.F('id'), condition=models.Q(('finished_at__isnull', True), ('worker_id__isnull', True), ('concurrency_key__isnull', False)), name='tasks_key_waiting'), models.Index(models.F('queue'), models.F('gate'), models.OrderBy(models.F('priority'), descending=True), models.F('run_at'), models.F('id'), condition=models.Q(('gate__gt', tasks_app.states.Gate['KEY']), ('finished_at__isnull', True), ('worker_id__isnull', True)), name='tasks_gated'), models.Index(models.F('target'), models.OrderBy(models.F('priority'), descending=True), models.F('run_at'), models.F('id'), condition=models.Q(('gate', tasks_app.states.Gate['TARGET']), ('finished_at__isnull', True), ('worker_id__isnull', True)), name='tasks_gated_target'), models.Index(models.F('queue'), models.F('tenant'), models.OrderBy(models.F('priority'), descending=True), models.F('run_at'), models.F('id'), condition=models.Q(('tenant__isnull', False), ('finished_at__isnull', True), ('worker_id__isnull', True), ('gate', tasks_app.states.Gate['TURN'])), name='tasks_turns'), models.Index(django.db.models.expressions.CombinedExpression(models.F('priority'), '*', models.Value(-1)), models.F('run_at'), models.F('id'), condition=models.Q(django.db.models.lookups.Exact(django.db.models.expressions.CombinedExpression(models.F('gate'), '-', models.Value(7)), 0), ('finished_at__isnull', True)), name='tasks_frozen'), models.Index(models.F('approval_ends_at'), condition=models.Q(('approval_asked_at__isnull', False), ('finished_at__isnull', True)), name='tasks_approval'), models.Index(models.F('expires_at'), condition=models.Q(('expires_at__isnull', False), ('finished_at__isnull', True)), name='tasks_expiring'), models.Index(models.F('finished_at'), condition=models.Q(('finished_at__isnull', False)), name='tasks_ended'), models.Index(models.F('finished_at'), condition=models.Q(('has_dependents', True), ('finished_at__isnull', False)), name='tasks_ended_parents'), models.Index(models.F('id'), condition=models.Q(('unsuccessful', True)), name='tasks_unsuccessful'), models.Index(models.F('id'), condition=models.Q(('finished_at__isnull', True), ('worker_id__isnull', True), ('retry_count__gt', 0)), name='tasks_retrying'), models.Index(models.F('correlation_id'), models.F('id'), condition=models.Q(('finished_at__isnull', False), ('correlation_id__isnull', False)), name='tasks_ended_correlation'), models.Index(models.F('schedule_id'), condition=models.Q(('finished_at__isnull', True), ('schedule_id__isnull', False)), name='tasks_schedule_open'), models.Index(models.F('schedule_id'), models.F('id'), condition=models.Q(('schedule_id__isnull', False)), name='tasks_schedule'), models.Index(models.F('batch_id'), models.F('created_at'), condition=models.Q(('batch_id__isnull', False), ('finished_at__isnull', True)), name='tasks_batch_open'), models.Index(models.F('batch_id'), models.F('unsuccessful'), condition=models.Q(('batch_id__isnull', False), ('finished_at__isnull', False)), name='tasks_batch_ended')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('finished_at__isnull', True), ('worker_id__isnull', False), ('concurrency_key__isnull', False)), fields=('queue', 'concurrency_key', 'key_slot'), name='tasks_key_held'), models.UniqueConstraint(condition=models.Q(('unique_key__isnull', False), ('finished_at__isnull', True)), fields=('queue', 'unique_key'), name='tasks_unique_open'), models.CheckConstraint(condition=models.Q(models.Q(('finished_at__isnull', True), ('status', tasks_app.states.TaskStatus['PENDING']), ('unsuccessful', False), ('worker_id__isnull', True)), models.Q(('finished_at__isnull', True), ('status__in', [tasks_app.states.TaskStatus['SCHEDULED'], tasks_app.states.TaskStatus['RUNNING']]), ('unsuccessful', False), ('worker_id__isnull', False)), models.Q(('finished_at__isnull', False), ('status', tasks_app.states.TaskStatus['SUCCESS']), ('unsuccessful', False)), models.Q(('finished_at__isnull', False), ('status__in', [tasks_app.states.TaskStatus['CANCELLED'], tasks_app.states.TaskStatus['FAILED']]), ('unsuccessful', True)), _connector='OR'), name='tasks_state'), models.CheckConstraint(condition=models.Q(('concurrency_key__isnull', True), models.Q(('finished_at__isnull', True), ('worker_id__isnull', False), _negated=True), ('key_slot__isnull', False), _connector='OR'), name='tasks_key_slot'), models.CheckConstraint(condition=models.Q(('attempt__gte', 0), ('crash_count__gte', 0), ('gate__range', (tasks_app.states.Gate['OPEN'], tasks_app.states.Gate['FREEZE'])), ('max_retries__range', (0, 1000)), ('priority__range', (-100, 100)), ('retry_count__gte', 0), ('slots__range', (1, 1000)), ('timeout_ms__range', (1, 86400000))), name='tasks_ranges'), models.CheckConstraint(condition=models.Q(('on_worker_lost__in', ['retry', 'fail'])), name='tasks_on_worker_lost')],
            },
        ),
        migrations.CreateModel(
            name='TaskEdge',
            fields=[
                ('pk', models.CompositePrimaryKey('child_id', 'parent_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('child_id', models.UUIDField()),
                ('parent_id', models.UUIDField()),
                ('outcome', models.TextField(blank=True, null=True)),
                ('of_batch', models.BooleanField(db_default=False, help_text='Its parent is a batch.')),
            ],
            options={
                'db_table': 'task_edges',
                'indexes': [models.Index(models.F('parent_id'), condition=models.Q(('outcome__isnull', True)), name='task_edges_open'), models.Index(models.F('parent_id'), condition=models.Q(django.db.models.lookups.GreaterThan(django.db.models.functions.text.Length('outcome'), 0)), name='task_edges_settled'), models.Index(models.F('child_id'), models.F('outcome'), name='task_edges_outcome')],
                'constraints': [models.CheckConstraint(condition=models.Q(('outcome__in', [tasks_app.states.TaskStatus['CANCELLED'], tasks_app.states.TaskStatus['FAILED'], tasks_app.states.TaskStatus['SUCCESS']])), name='task_edges_outcome_is_final'), models.CheckConstraint(condition=models.Q(('child_id', models.F('parent_id')), _negated=True), name='task_edges_of_two')],
            },
        ),
        migrations.CreateModel(
            name='TaskJoin',
            fields=[
                ('task_id', models.UUIDField(primary_key=True, serialize=False)),
                ('run_if', models.TextField(choices=[(tasks_app.states.RunIf['ALL_SUCCESS'], tasks_app.states.RunIf['ALL_SUCCESS']), (tasks_app.states.RunIf['ALL_DONE'], tasks_app.states.RunIf['ALL_DONE']), (tasks_app.states.RunIf['ANY_SUCCESS'], tasks_app.states.RunIf['ANY_SUCCESS']), (tasks_app.states.RunIf['ANY_FAILED'], tasks_app.states.RunIf['ANY_FAILED']), (tasks_app.states.RunIf['NONE_FAILED'], tasks_app.states.RunIf['NONE_FAILED'])])),
                ('otherwise', models.TextField(choices=[(tasks_app.states.Otherwise['CANCEL'], tasks_app.states.Otherwise['CANCEL']), (tasks_app.states.Otherwise['FAIL'], tasks_app.states.Otherwise['FAIL'])])),
            ],
            options={
                'db_table': 'task_joins',
                'constraints': [models.CheckConstraint(condition=models.Q(('otherwise__in', ['cancel', 'fail']), ('run_if__in', ['all_success', 'all_done', 'any_success', 'any_failed', 'none_failed'])), name='task_joins_rules')],
            },
        ),
        migrations.CreateModel(
            name='TaskInputs',
            fields=[
                ('task_id', models.UUIDField(primary_key=True, serialize=False)),
                ('attempt', models.IntegerField()),
                ('used', models.JSONField()),
            ],
            options={
                'db_table': 'task_inputs',
            },
        ),
        migrations.CreateModel(
            name='TaskProgress',
            fields=[
                ('task_id', models.UUIDField(primary_key=True, serialize=False)),
                ('reported_at', models.DateTimeField()),
                ('done', models.BigIntegerField(null=True)),
                ('total', models.BigIntegerField(null=True)),
                ('attempt', models.IntegerField()),
                ('percent', models.SmallIntegerField(null=True)),
                ('note', models.TextField(db_default='')),
            ],
            options={
                'db_table': 'task_progress',
            },
        ),
        migrations.CreateModel(
            name='TaskOutput',
            fields=[
                ('pk', models.CompositePrimaryKey('task_id', 'attempt', 'seq', blank=True, editable=False, primary_key=True, serialize=False)),
                ('task_id', models.UUIDField()),
                ('at', models.DateTimeField(help_text='When its first line was written, by the clock of the database.')),
                ('seq', models.BigIntegerField(help_text='The place of its end: bytes the attempt had written up to there.')),
                ('line', models.BigIntegerField(help_text='The number of its first line in the output of the attempt.')),
                ('attempt', models.IntegerField()),
                ('size', models.IntegerField(help_text='Its bytes as they were written, before anything was masked.')),
                ('stream', models.TextField(help_text='stdout, stderr, or what the executor calls it.')),
                ('text', models.TextField()),
            ],
            options={
                'db_table': 'task_output',
            },
        ),
        migrations.CreateModel(
            name='TaskNeeds',
            fields=[
                ('id', models.AutoField(primary_key=True, serialize=False)),
                ('used_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='When it was last looked up for a new task, roughly.')),
                ('digest', models.TextField(help_text='SHA-256 of the canonical text, which is too long for an index.', unique=True)),
                ('labels', models.JSONField(help_text='Key → the values of which a worker must have one.')),
                ('slots', models.SmallIntegerField(db_default=1, help_text='So many slots a worker must have in all.')),
                ('given_at', models.DateTimeField(help_text='When a task of several slots was last given to a worker: the next one waits since then.', null=True)),
            ],
            options={
                'db_table': 'task_needs',
            },
        ),
        migrations.CreateModel(
            name='TaskExecution',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('worker_id', models.UUIDField()),
                ('due_at', models.DateTimeField(help_text='The run_at this attempt was started for.')),
                ('assigned_at', models.DateTimeField(null=True)),
                ('started_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField()),
                ('attempt', models.IntegerField()),
                ('type', models.TextField()),
                ('status', models.TextField(choices=[(tasks_app.states.ExecutionStatus['SUCCESS'], tasks_app.states.ExecutionStatus['SUCCESS']), (tasks_app.states.ExecutionStatus['FAILED'], tasks_app.states.ExecutionStatus['FAILED']), (tasks_app.states.ExecutionStatus['TIMED_OUT'], tasks_app.states.ExecutionStatus['TIMED_OUT']), (tasks_app.states.ExecutionStatus['CANCELLED'], tasks_app.states.ExecutionStatus['CANCELLED']), (tasks_app.states.ExecutionStatus['LOST'], tasks_app.states.ExecutionStatus['LOST']), (tasks_app.states.ExecutionStatus['RELEASED'], tasks_app.states.ExecutionStatus['RELEASED'])])),
                ('task_status', models.TextField(choices=[(tasks_app.states.TaskStatus['PENDING'], tasks_app.states.TaskStatus['PENDING']), (tasks_app.states.TaskStatus['SCHEDULED'], tasks_app.states.TaskStatus['SCHEDULED']), (tasks_app.states.TaskStatus['RUNNING'], tasks_app.states.TaskStatus['RUNNING']), (tasks_app.states.TaskStatus['SUCCESS'], tasks_app.states.TaskStatus['SUCCESS']), (tasks_app.states.TaskStatus['FAILED'], tasks_app.states.TaskStatus['FAILED']), (tasks_app.states.TaskStatus['CANCELLED'], tasks_app.states.TaskStatus['CANCELLED'])], help_text='Where the end of this attempt took the task.')),
                ('duration_ms', models.GeneratedField(db_persist=True, expression=models.Func(models.F('finished_at'), models.F('started_at'), arg_joiner=' - ', template="(date_part('epoch', %(expressions)s) * 1000)::bigint"), output_field=models.BigIntegerField())),
                ('result', models.JSONField(null=True)),
                ('error', models.JSONField(help_text='NULL, or an object with code and message.', null=True)),
                ('late', models.JSONField(help_text='A result that arrived after the attempt was taken away.', null=True)),
                ('task', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='executions', to='tasks_app.task')),
            ],
            options={
                'db_table': 'task_executions',
                'ordering': ['task_id', 'attempt'],
                'indexes': [django.contrib.postgres.indexes.BrinIndex(autosummarize=True, fields=['finished_at'], name='executions_finished', pages_per_range=32)],
                'constraints': [models.UniqueConstraint(fields=('task', 'attempt'), name='executions_attempt'), models.CheckConstraint(condition=models.Q(('status__in', ['SUCCESS', 'FAILED', 'TIMED_OUT', 'CANCELLED', 'LOST', 'RELEASED'])), name='executions_status')],
            },
        ),
        migrations.CreateModel(
            name='BulkOperation',
            fields=[
                ('id', models.UUIDField(help_text='UUIDv7, made by the dry run.', primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('due_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='When the next piece is done, by the rate.')),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('position', models.UUIDField(help_text='Tasks up to this id have been dealt with, but those that are held.')),
                ('before', models.UUIDField(help_text='Tasks from this id on are not looked at: they came later.')),
                ('count', models.BigIntegerField(help_text='How many tasks matched at the dry run.')),
                ('touched', models.BigIntegerField(db_default=0)),
                ('skipped', models.BigIntegerField(db_default=0)),
                ('failed', models.BigIntegerField(db_default=0)),
                ('rate_per_second', models.IntegerField(blank=True, null=True)),
                ('version', models.IntegerField(db_default=1, help_text='Grows when it is stopped, resumed or over; the ETag.')),
                ('priority', models.SmallIntegerField(blank=True, null=True)),
                ('queue', models.TextField(blank=True, null=True)),
                ('action', models.TextField(choices=[('cancel', 'cancel'), ('retry', 'retry'), ('reprioritise', 'reprioritise'), ('move', 'move'), ('expire', 'expire')])),
                ('state', models.TextField(choices=[('RUNNING', 'RUNNING'), ('STOPPED', 'STOPPED'), ('DONE', 'DONE'), ('FAILED', 'FAILED')], db_default='RUNNING')),
                ('asked_by', models.TextField()),
                ('reason', models.TextField(blank=True, db_default='')),
                ('error', models.TextField(blank=True, help_text='Why it FAILED, or what went wrong with a task.', null=True)),
                ('filter', models.JSONField(help_text='Parameter of GET /tasks → its values.')),
                ('skips', models.JSONField(db_default=models.Value({}, models.JSONField()), help_text='Reason → how many.')),
                ('barred', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), help_text='Types of tasks that whoever asked may not make run.', size=None)),
                ('held', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), db_default=models.Value([], django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), size=None)), size=None)),
            ],
            options={
                'db_table': 'bulk_operations',
                'ordering': ['-id'],
                'indexes': [models.Index(condition=models.Q(('state', 'RUNNING')), fields=['due_at'], name='bulk_operations_due')],
                'constraints': [
                    models.CheckConstraint(condition=models.Q(models.Q(('finished_at', None), ('state__in', ['RUNNING', 'STOPPED'])), models.Q(('state__in', ['DONE', 'FAILED']), models.Q(('finished_at', None), _negated=True)), _connector='OR'), name='bulk_operations_state'),
                    models.CheckConstraint(condition=models.Q(models.Q(('action', 'reprioritise'), ('priority__isnull', False), ('queue__isnull', True)), models.Q(('action', 'move'), ('priority__isnull', True), ('queue__isnull', False)), models.Q(('action__in', ['cancel', 'retry', 'expire']), ('priority__isnull', True), ('queue__isnull', True)), _connector='OR'), name='bulk_operations_target'),
                    models.CheckConstraint(condition=models.Q(('filter', {}), _negated=True), name='bulk_operations_says_which'),
                ],
            },
        ),
        migrations.CreateModel(
            name='FailureGroup',
            fields=[
                ('fingerprint', models.TextField(primary_key=True, serialize=False)),
                ('first_at', models.DateTimeField(help_text='When the first of them ended, ever.')),
                ('last_at', models.DateTimeField()),
                ('type', models.TextField(help_text='Of their tasks.')),
                ('code', models.TextField()),
                ('message', models.TextField(help_text='Of the last one, the beginning.')),
            ],
            options={
                'verbose_name': 'group of failures',
                'verbose_name_plural': 'failures',
                'db_table': 'failure_groups',
                'ordering': ['-last_at', '-fingerprint'],
            },
        ),
        migrations.CreateModel(
            name='FailureMark',
            fields=[
                ('id', models.SmallIntegerField(primary_key=True, serialize=False)),
                ('read_id', models.BigIntegerField(db_default=0, help_text='Read, as far as they could be seen.')),
                ('sure_id', models.BigIntegerField(db_default=0, help_text='Read again, when nothing below could come any more.')),
                ('noted_id', models.BigIntegerField(db_default=0, help_text='Up to where they are read again next.')),
                ('noted_xid', models.BigIntegerField(db_default=0, help_text='Once every transaction before this one has ended.')),
            ],
            options={
                'db_table': 'failure_marks',
            },
        ),
        migrations.CreateModel(
            name='TaskFailure',
            fields=[
                ('pk', models.CompositePrimaryKey('task_id', 'attempt', blank=True, editable=False, primary_key=True, serialize=False)),
                ('task_id', models.UUIDField()),
                ('at', models.DateTimeField(help_text='When it ended, as its execution says.')),
                ('attempt', models.IntegerField()),
                ('fingerprint', models.TextField()),
                ('queue', models.TextField()),
            ],
            options={
                'db_table': 'task_failures',
                'indexes': [models.Index(models.F('fingerprint'), models.F('at'), models.F('task_id'), name='task_failures_group'), django.contrib.postgres.indexes.BrinIndex(autosummarize=True, fields=['at'], name='task_failures_at', pages_per_range=32)],
            },
        ),
        migrations.RunSQL("INSERT INTO failure_marks (id) VALUES (1)", migrations.RunSQL.noop),
        migrations.RunSQL(STORAGE, migrations.RunSQL.noop),
        migrations.RunSQL(AGED, "DROP FUNCTION aged_firsts; DROP FUNCTION aged_at"),
        migrations.RunSQL(RELEASE_KEY, "DROP FUNCTION tasks_release_key() CASCADE"),
        migrations.RunSQL(WAITING_TASKS, "DROP FUNCTION waiting_tasks"),
        migrations.RunSQL(CONDITION, "ALTER TABLE task_needs DROP COLUMN condition"),
        migrations.RunSQL(LATE, "DROP INDEX executions_late"),
    ]
