"""Tables of queues and of the pass, with the row of the pass, and the view that says which queues are paused."""

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

LIMITED_QUEUES = """
-- The queues that have a limit, for statements that count against it.
CREATE VIEW limited_queues AS SELECT name, max_concurrency FROM queues WHERE max_concurrency IS NOT NULL;
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [
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
                ('max_concurrency', models.IntegerField(blank=True, help_text='At most so many of its tasks are assigned or running; 0 closes it.', null=True)),
                ('version', models.IntegerField(db_default=1)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'db_table': 'queues',
                'ordering': ['name'],
                'constraints': [models.CheckConstraint(condition=models.Q(('paused_until__isnull', True), ('paused_at__isnull', False), _connector='OR'), name='queues_until_needs_pause'), models.CheckConstraint(condition=models.Q(('max_concurrency__range', (0, 100000))), name='queues_max_concurrency')],
            },
        ),
        migrations.RunSQL("INSERT INTO scheduler_pass (name) VALUES ('assign')", migrations.RunSQL.noop),
        migrations.RunSQL(PAUSED_QUEUES, "DROP VIEW paused_queues"),
        migrations.RunSQL(LIMITED_QUEUES, "DROP VIEW limited_queues"),
    ]
