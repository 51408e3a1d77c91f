"""Tables of processes, which are updated every second and never indexed by what changes; and which history of the
database this is."""

import django.contrib.postgres.fields
import django.db.models.functions.datetime
import tasks_app.states
from django.db import migrations, models


STORAGE = """
ALTER TABLE worker_heartbeats SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
ALTER TABLE scheduler_heartbeats SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
"""

# Which history of the database this is: a standby that is promoted, and a restore, begin a new one.
#
# A worker compares it before it starts anything (``start_assigned.sql``): what was acknowledged on the old timeline may be
# unknown on the new one, and attempt numbers may be given out again. Both functions may be called by any role; together
# they cost some microseconds. ``pg_control_checkpoint`` would not do: it tells of a promotion only at the next checkpoint.
TIMELINE = """
CREATE FUNCTION database_timeline() RETURNS text LANGUAGE sql VOLATILE AS
$$SELECT system_identifier || '/' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) FROM pg_control_system()$$
"""

# Which needs of tasks (``task_needs``) each worker meets; every statement asks here. Labels and slots of a worker never change.
MET_NEEDS = """
CREATE VIEW met_needs AS
SELECT w.worker_id, w.state, w.queues, w.slots, n.id AS needs_id, n.slots AS takes
  FROM worker_heartbeats w JOIN task_needs n ON w.slots >= n.slots AND w.labels @@ n.condition;
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('tasks_app', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Scheduler',
            fields=[
                ('scheduler_id', models.UUIDField(primary_key=True, serialize=False)),
                ('started_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('last_heartbeat_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('stopped_at', models.DateTimeField(null=True)),
                ('pid', models.IntegerField()),
                ('host', models.TextField()),
                ('version', models.TextField(blank=True, db_default='')),
            ],
            options={
                'db_table': 'scheduler_heartbeats',
                'ordering': ['-started_at'],
            },
        ),
        migrations.CreateModel(
            name='Worker',
            fields=[
                ('worker_id', models.UUIDField(primary_key=True, serialize=False)),
                ('started_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('last_heartbeat_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('state_changed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('beat', models.BigIntegerField(db_default=0, help_text='The counter failure detection watches.')),
                ('pid', models.IntegerField()),
                ('slots', models.IntegerField()),
                ('prefetch', models.IntegerField(db_default=0, help_text='Tasks it may be assigned beyond its slots, as measured.')),
                ('running', models.IntegerField(db_default=0)),
                ('state', models.TextField(choices=[(tasks_app.states.WorkerState['ACTIVE'], tasks_app.states.WorkerState['ACTIVE']), (tasks_app.states.WorkerState['DRAINING'], tasks_app.states.WorkerState['DRAINING']), (tasks_app.states.WorkerState['STOPPED'], tasks_app.states.WorkerState['STOPPED']), (tasks_app.states.WorkerState['DEAD'], tasks_app.states.WorkerState['DEAD'])], db_default=tasks_app.states.WorkerState['ACTIVE'])),
                ('host', models.TextField()),
                ('name', models.TextField()),
                ('version', models.TextField(blank=True, db_default='')),
                ('queues', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), help_text='NULL: every queue.', null=True, size=None)),
                ('labels', models.JSONField(db_default=models.Value({}, models.JSONField()))),
            ],
            options={
                'db_table': 'worker_heartbeats',
                'ordering': ['-started_at'],
                'constraints': [models.CheckConstraint(condition=models.Q(('state__in', ['ACTIVE', 'DRAINING', 'STOPPED', 'DEAD'])), name='workers_state'), models.CheckConstraint(condition=models.Q(('prefetch__gte', 0), ('slots__gte', 1)), name='workers_slots')],
            },
        ),
        migrations.RunSQL(STORAGE, migrations.RunSQL.noop),
        migrations.RunSQL(TIMELINE, "DROP FUNCTION database_timeline()"),
        migrations.RunSQL(MET_NEEDS, "DROP VIEW met_needs"),
    ]
