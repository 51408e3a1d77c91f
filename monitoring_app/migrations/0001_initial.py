"""Tables of running totals and of minutes, which begin with the whole history."""

import django.db.models.functions.datetime
from django.db import migrations, models




class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='MetricMark',
            fields=[
                ('name', models.CharField(max_length=32, primary_key=True, serialize=False)),
                ('counted_id', models.BigIntegerField(db_default=0)),
                ('seen_id', models.BigIntegerField(db_default=0)),
                ('seen_xid', models.BigIntegerField(db_default=0)),
                ('seen_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('late_at', models.TextField(db_default='')),
            ],
            options={
                'db_table': 'metric_marks',
            },
        ),
        migrations.CreateModel(
            name='MetricTotal',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('metric', models.TextField(help_text='attempts, duration, start_delay, late, ends, fires, lateness or batches.')),
                ('type', models.TextField()),
                ('status', models.TextField(help_text='Of the attempt; empty for other metrics.')),
                ('task_status', models.TextField(help_text="Where the attempt's end took the task; empty for other metrics.")),
                ('le', models.FloatField(help_text="The bucket's upper bound in seconds, so that other bounds may come later.")),
                ('n', models.BigIntegerField()),
                ('seconds', models.FloatField()),
            ],
            options={
                'db_table': 'metric_totals',
                'constraints': [models.UniqueConstraint(fields=('metric', 'type', 'status', 'task_status', 'le'), name='metric_totals_once')],
            },
        ),
        migrations.CreateModel(
            name='Mark',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('name', models.TextField()),
                ('created_by', models.TextField()),
            ],
            options={
                'db_table': 'marks',
                'ordering': ['-at', '-id'],
                'constraints': [models.UniqueConstraint(fields=('at', 'name'), name='marks_once')],
            },
        ),
        migrations.CreateModel(
            name='MetricMinute',
            fields=[
                ('pk', models.CompositePrimaryKey('span', 'at', 'kind', 'name', blank=True, editable=False, primary_key=True, serialize=False)),
                ('span', models.SmallIntegerField(help_text='How many minutes; the same is counted in each of the three lengths.')),
                ('at', models.DateTimeField(help_text='When they began.')),
                ('kind', models.TextField(choices=[('type', 'type'), ('queue', 'queue'), ('system', 'system')])),
                ('name', models.TextField(help_text='Of the type or the queue; empty for the system.')),
                ('success', models.IntegerField(db_default=0, help_text='Attempts that ended so; the next five are the same.')),
                ('failed', models.IntegerField(db_default=0)),
                ('timed_out', models.IntegerField(db_default=0)),
                ('cancelled', models.IntegerField(db_default=0)),
                ('lost', models.IntegerField(db_default=0)),
                ('released', models.IntegerField(db_default=0)),
                ('retried', models.IntegerField(db_default=0, help_text='Of those, failed or timed out and to be tried again.')),
                ('given_up', models.IntegerField(db_default=0, help_text='Of those, the ones whose task ended as failed.')),
                ('start_delay', models.JSONField(db_default={}, default=dict, help_text='Of types: bucket → attempts; see `histograms`.')),
                ('duration', models.JSONField(db_default={}, default=dict, help_text='The same of how long they ran.')),
                ('waiting', models.BigIntegerField(help_text='Of queues: the most tasks at the look each minute has.', null=True)),
                ('oldest_due', models.FloatField(help_text='Of queues: the longest wait past its time, in seconds.', null=True)),
                ('slots_used', models.IntegerField(help_text='Of the system: the most at those looks.', null=True)),
                ('slots', models.IntegerField(help_text='Of the system: those of live workers, the most at those looks.', null=True)),
            ],
            options={
                'db_table': 'metric_minutes',
            },
        ),
        migrations.RunSQL("INSERT INTO metric_marks (name) VALUES ('executions'), ('minutes')", migrations.RunSQL.noop),
    ]
